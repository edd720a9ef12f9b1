// Tables whose rows stay while their cells change, so that what is selected or read stays where it is.

import { ago, bytes, clock, count, milliseconds, NONE, percent, rate } from './format.js'

const SVG = 'http://www.w3.org/2000/svg'

// A cell is text, or { text, number, mark, share, wide }: `share` of one makes a bar beside the text.
const cell = given => (typeof given === 'object' && given !== null ? given : { text: given })

export const number = (text, mark) => ({ text, number: true, mark })
export const bar = (text, share, mark) => ({ text, share, mark })
const wide = text => ({ text, wide: true })

export function fill(table, rows) {
  const body = table.tBodies[0]
  while (body.rows.length > rows.length) body.deleteRow(-1)
  rows.forEach((row, at) => {
    const line = body.rows[at] || body.insertRow()
    row.forEach((given, column) => {
      if (!line.cells[column]) line.append(document.createElement(column === 0 ? 'th' : 'td'))
      const element = line.cells[column]
      if (column === 0) element.scope = 'row'
      write(element, cell(given))
    })
  })
}

function write(element, { text, number: isNumber, mark, share, wide: isWide }) {
  element.className = isNumber ? 'number' : isWide ? 'text' : ''
  if (mark && share === undefined) element.dataset.mark = mark
  else delete element.dataset.mark
  if (share === undefined) {
    say(element, text)
    return
  }
  let meter = element.querySelector('.meter')
  if (!meter) {
    meter = document.createElement('div')
    meter.className = 'meter'
    const picture = document.createElementNS(SVG, 'svg')
    picture.setAttribute('aria-hidden', 'true')
    const rectangle = document.createElementNS(SVG, 'rect')
    rectangle.setAttribute('height', '100%')
    picture.append(rectangle)
    meter.append(picture, document.createElement('span'))
    element.replaceChildren(meter)
  }
  meter.dataset.mark = mark || ''
  meter.querySelector('rect').setAttribute('width', `${Math.min(100, Math.max(0, share * 100)).toFixed(1)}%`)
  say(meter.querySelector('span'), text)
}

export function say(element, text) {
  if (element.textContent !== text) element.textContent = text
}

// What each table has in its rows. `per` gives the rate of a figure, out of documents some seconds apart.

const STALLED_SECONDS = 3

export function workers(stats, per) {
  const rates = stats.workers.map((worker, at) => per(document => document.workers[at].pid === worker.pid && document.workers[at].requests_total))
  const known = rates.filter(value => value !== null)
  const all = known.reduce((sum, value) => sum + value, 0)
  const most = Math.max(...known, 0)
  const rows = stats.workers.map((worker, at) => {
    const queue = stats.queue[at]
    const beat = worker.heartbeat_age_seconds
    const gone = worker.pid === null
    const stalled = beat !== null && beat > STALLED_SECONDS
    return [
      `worker ${worker.slot}`,
      bar(rate(rates[at]), most ? (rates[at] || 0) / most : 0),
      number(all ? percent((rates[at] || 0) / all) : NONE),
      number(count(worker.connections_active)),
      queue.depth === null
        ? 'the kernel’s'
        : bar(`${count(queue.depth)} of ${count(queue.capacity)}`, queue.depth / queue.capacity, queue.depth > queue.capacity / 2 ? 'wrong' : ''),
      number(gone ? 'no process' : beat === null ? 'starting' : ago(beat), gone || stalled ? 'wrong' : ''),
      number(count(worker.restarts), worker.restarts ? 'watch' : ''),
      number(gone ? NONE : String(worker.pid)),
    ]
  })
  return { rows, fairness: all && known.length > 1 ? most / (all / known.length) : null }
}

const MARKS = { 3: 'moved', 4: 'client', 5: 'wrong' }

export function answers(stats, per) {
  return Object.entries(stats.responses).map(([status, given]) => [
    status,
    number(rate(per(document => document.responses[status] || 0))),
    number(count(given)),
    bar(percent(given / stats.requests_total), given / stats.requests_total, MARKS[status[0]]),
  ])
}

const LIMITS = {
  idle_timeout: 'idle connection closed',
  requests: 'last request of a connection',
}

export function refused(stats, per) {
  const rows = []
  for (const [reason, number_] of Object.entries(stats.connections_refused)) {
    if (number_) rows.push([`refused: ${words(reason)}`, number(rate(per(document => document.connections_refused[reason] || 0))), number(count(number_), 'watch')])
  }
  for (const [limit, number_] of Object.entries(stats.limits)) {
    if (number_) rows.push([LIMITS[limit] || `limit: ${words(limit)}`, number(rate(per(document => document.limits[limit]))), number(count(number_))])
  }
  if (stats.tls.failures) rows.push(['TLS handshake failed', number(rate(per(document => document.tls.failures))), number(count(stats.tls.failures), 'watch')])
  if (stats.proxy.malformed) rows.push(['no PROXY header', number(rate(per(document => document.proxy.malformed))), number(count(stats.proxy.malformed), 'watch')])
  if (stats.log_dropped) rows.push(['log lines lost', number(rate(per(document => document.log_dropped))), number(count(stats.log_dropped), 'wrong')])
  return rows
}

export function cache(stats, per) {
  const { cache: now } = stats
  const looked = now.hits + now.misses
  const pairs = [
    ['Hits since the start', looked ? percent(now.hits / looked) : NONE],
    ['Held', `${bytes(now.size_bytes)} of ${bytes(now.capacity_bytes)}`],
    ['Entries', count(now.objects)],
    ['Evictions/s', rate(per(document => document.cache.evictions))],
    ['Policy', now.policy],
    ['Scope', now.scope],
  ]
  return pairs
}

export const entries = found =>
  found.map(entry => [
    wide(entry.path + (entry.coding ? ` (${entry.coding})` : '') + (entry.host ? ` on ${entry.host}` : '')),
    number(bytes(entry.bytes)),
    number(count(entry.hits)),
    number(entry.workers === null ? 'all' : count(entry.workers)),
  ])

// The last ten, the last one first.
export const errors = found =>
  found
    .slice(-10)
    .reverse()
    .map(error => [
      clock(error.at),
      { text: String(error.status), mark: error.status >= 500 ? 'wrong' : 'watch' },
      wide(error.line.replace(/ HTTP\/1\.[01]$/, '')),
    ])

// Whoever waits for this one has nothing to do.
const IDLE = 'pool_filled'

export function locks(stats, per) {
  return stats.sync_objects
    .filter(guard => guard.acquired)
    .map(guard => {
      const of = document => document.sync_objects.find(one => one.name === guard.name)
      const share = guard.contended / guard.acquired
      return [
        guard.name + (guard.name === IDLE ? ' (idle threads)' : ''),
        number(rate(per(document => of(document).acquired))),
        number(count(guard.acquired)),
        number(`${count(guard.contended)} (${percent(share)})`, share > 0.1 && guard.name !== IDLE ? 'watch' : ''),
        number(milliseconds(guard.wait_ms)),
      ]
    })
}

const words = name => name.replaceAll('_', ' ')
