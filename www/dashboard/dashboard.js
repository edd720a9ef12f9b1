// The page: what is heard goes into the charts, the tables and the verdict.

import { Chart, CHARTS } from './charts.js'
import { Feed, history } from './feed.js'
import { bytes, count, duration, plural, rate } from './format.js'
import { Past } from './past.js'
import * as tables from './tables.js'
import { findings, headline } from './verdict.js'

const STATES = {
  wait: 'Connecting',
  live: 'Live',
  polling: 'Live, every two seconds',
  silent: 'The master does not answer',
  lost: 'No connection',
  paused: 'Paused',
}
// Rates are taken over so many documents, one a second.
const DOCUMENTS = 5

const $ = id => document.getElementById(id)
const past = new Past()
const view = { seconds: 300 }
const charts = []
let recent = []
let live = null
let state = 'wait'
let paused = false

const feed = new Feed(heard, became)

function heard(document_) {
  const { stats } = (live = document_)
  if (recent.length && stats.uptime_seconds < recent[recent.length - 1].uptime_seconds) recent = []
  recent = [...recent, stats].slice(-DOCUMENTS)
  if (past.add(live)) recall()
  show()
}

function became(now) {
  state = now
  tables.say($('connection-text'), STATES[state])
  $('connection').dataset.state = state
  if (live) judge()
}

// What happened before this page was opened, or while it was not looking.
async function recall() {
  try {
    const whole = await history()
    const later = { columns: past.names, samples: rowsAfter(whole) }
    past.clear(whole.columns)
    past.add(whole)
    past.add(later)
    show()
  } catch {
    // The charts begin now, then.
  }
}

function rowsAfter(whole) {
  const last = whole.samples.length ? whole.samples[whole.samples.length - 1][0] : -1
  const rows = []
  for (let at = 0; at < past.length; at += 1) {
    if (past.columns.n[at] > last) rows.push(past.names.map(name => past.columns[name][at]))
  }
  return rows
}

// The rate of a figure over the last documents; null where it cannot be known.
function per(figure) {
  const [first, last] = [recent[0], recent[recent.length - 1]]
  const seconds = last.uptime_seconds - first.uptime_seconds
  const [before, after] = [figure(first), figure(last)]
  return seconds > 0 && before !== false && after !== false ? Math.max(0, after - before) / seconds : null
}

function show() {
  if (!live) return
  const { stats } = live
  if ($('live').hidden) {
    $('live').hidden = false
    for (const [id, spec] of Object.entries(CHARTS)) charts.push(new Chart($(id), spec, view))
  }
  document.title = `${stats.name} · wsrv`
  tables.say($('name'), stats.name)
  const parts = `${plural(stats.workers.length, 'worker')}, ${stats.ipc}, ${stats.sync}`
  tables.say($('about'), `${stats.listeners.join('  ')} · up ${duration(stats.uptime_seconds)} · ${parts} · version ${stats.version}`)
  numbers(stats)
  for (const chart of charts) chart.show(past)
  const { rows, fairness } = tables.workers(stats, per)
  tables.fill($('workers'), rows)
  tables.say($('fairness'), fairness === null ? '' : `The busiest answers ${fairness.toFixed(2)} times the mean.`)
  tables.fill($('answers'), tables.answers(stats, per))
  some('refused', tables.refused(stats, per))
  some('entries', tables.entries(live.entries))
  some('errors', tables.errors(live.errors))
  tables.fill($('locks'), tables.locks(stats, per))
  pairs($('cache'), tables.cache(stats, per))
  judge()
}

function numbers(stats) {
  const failed = Object.entries(stats.responses).reduce((sum, [status, given]) => sum + (status[0] === '5' ? given : 0), 0)
  const six = {
    active: [stats.connections_active, `${count(stats.connections_total)} in all`],
    bytes: [stats.bytes_sent, `${bytes(past.now('bytes') || 0)}/s`],
    200: [stats.responses['200'] || 0, `${rate(per(document_ => document_.responses['200'] || 0))}/s`],
    404: [stats.responses['404'] || 0, `${rate(per(document_ => document_.responses['404'] || 0))}/s`],
    '5xx': [failed, `${rate(past.now('5xx') || 0)}/s`],
    total: [stats.requests_total, `${rate(past.now('requests') || 0)}/s`],
  }
  tables.say($('short-bytes'), bytes(stats.bytes_sent))
  for (const [name, [total, now]] of Object.entries(six)) {
    const element = document.querySelector(`[data-number="${name}"]`)
    tables.say(element, count(total))
    element.dataset.state = name === '5xx' && total ? 'wrong' : ''
    tables.say($(`now-${name}`), now)
  }
}

// A table that is not there while it has nothing to say.
function some(id, rows) {
  $(`${id}-none`).hidden = rows.length > 0
  $(id).parentElement.hidden = rows.length === 0
  tables.fill($(id), rows)
}

function pairs(list, found) {
  if (list.children.length !== found.length) {
    list.replaceChildren(
      ...found.map(() => {
        const pair = document.createElement('div')
        pair.append(document.createElement('dt'), document.createElement('dd'))
        return pair
      }),
    )
  }
  found.forEach(([name, value], at) => {
    tables.say(list.children[at].children[0], name)
    tables.say(list.children[at].children[1], value)
  })
}

function judge() {
  const found = findings(live, past, state)
  const worst = found.some(one => one.state === 'wrong') ? 'wrong' : found.length ? 'watch' : 'good'
  const list = $('findings')
  $('verdict').dataset.state = worst
  tables.say($('verdict-line'), headline(found, past))
  while (list.children.length > found.length) list.lastChild.remove()
  found.forEach((one, at) => {
    const item = list.children[at] || list.appendChild(document.createElement('li'))
    item.dataset.state = one.state
    tables.say(item, one.text)
  })
  // Read out when it changes, not with every number.
  tables.say($('verdict-said'), worst === 'good' ? 'All is well' : `${plural(found.length, 'finding')}: ${found[0].text.replace(/\d[\d.,]*/g, '')}`)
}

// What people can do.

function begin() {
  $('connection').hidden = false
  feed.start()
  recall()
}

for (const input of document.querySelectorAll('[name="range"]')) {
  input.addEventListener('change', () => {
    view.seconds = Number(input.value)
    for (const chart of charts) chart.show(past)
  })
}
$('pause').addEventListener('click', () => {
  paused = !paused
  $('pause').setAttribute('aria-pressed', String(paused))
  tables.say($('pause'), paused ? 'Go on' : 'Pause')
  if (paused) {
    feed.stop()
    feed.become('paused')
  } else begin()
})
// Who does not look costs nothing.
document.addEventListener('visibilitychange', () => {
  if (paused) return
  if (document.hidden) feed.stop()
  else begin()
})
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => charts.forEach(chart => chart.build()))
begin()
