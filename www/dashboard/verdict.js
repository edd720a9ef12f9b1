// What is wrong, in sentences, the worst first. Nothing wrong is a sentence too.

import { ago, count, milliseconds, percent, plural, rate } from './format.js'

const STALLED_SECONDS = 3
const SLOW_MS = 1000
// How far back what was wrong is still worth saying.
const WINDOW_SECONDS = 60

const wrong = text => ({ state: 'wrong', text })
const watch = text => ({ state: 'watch', text })

export function findings(live, past, state) {
  const { stats } = live
  const found = []
  if (state === 'silent') found.push(wrong('The master does not answer its workers: new connections are not taken in, and these numbers are old.'))
  if (state === 'lost') found.push(wrong('The server cannot be reached: these numbers are old.'))
  for (const worker of stats.workers) {
    if (worker.pid === null) found.push(wrong(`Worker ${worker.slot} has no process.`))
    else if (worker.heartbeat_age_seconds > STALLED_SECONDS) {
      found.push(wrong(`Worker ${worker.slot} stands still: its loop last turned ${ago(worker.heartbeat_age_seconds)}.`))
    }
    if (worker.restarts) found.push(watch(`Worker ${worker.slot} was replaced ${worker.restarts === 1 ? 'once' : `${count(worker.restarts)} times`} since the start.`))
  }
  const failed = Math.round(past.sum('5xx', WINDOW_SECONDS))
  if (failed) found.push(wrong(`${plural(failed, 'answer')} 5xx in the last minute.`))
  const refused = Math.round(past.sum('refused', WINDOW_SECONDS))
  if (refused) found.push(wrong(`${plural(refused, 'connection was', 'connections were')} refused in the last minute: ${reasons(stats)}.`))
  if (stats.log_dropped) found.push(wrong(`${plural(stats.log_dropped, 'line')} of the access log lost: what reads it is too slow.`))
  for (const queue of stats.queue) {
    if (queue.depth !== null && queue.depth > queue.capacity / 2) found.push(wrong(`The queue of worker ${queue.slot} is more than half full.`))
  }
  const p99 = past.now('p99')
  if (p99 > SLOW_MS) found.push(watch(`One request in a hundred takes longer than ${milliseconds(p99)}.`))
  const [answered, missing] = [past.sum('requests', WINDOW_SECONDS), past.sum('4xx', WINDOW_SECONDS)]
  if (answered > 20 && missing > answered / 10) found.push(watch(`${percent(missing / answered)} of the answers of the last minute are 4xx.`))
  return found.sort((a, b) => (a.state === 'wrong' ? 0 : 1) - (b.state === 'wrong' ? 0 : 1))
}

const reasons = stats =>
  Object.entries(stats.connections_refused)
    .filter(([, number]) => number)
    .map(([reason]) => reason.replaceAll('_', ' '))
    .join(', ')

export function headline(found, past) {
  if (found.some(one => one.state === 'wrong')) return 'Something is wrong'
  const requests = past.now('requests') || 0
  const doing = requests ? `${rate(requests)} requests a second, p99 ${milliseconds(past.now('p99'))}` : 'no requests at the moment'
  return found.length ? `Running, with something to look at: ${doing}` : `All is well: ${doing}`
}
