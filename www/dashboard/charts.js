// The charts: uPlot draws, the legend is text of our own, so that it can be read without the canvas.

import { bytes, milliseconds, percent, rate } from './format.js'

const HEIGHT = 176
const SMALL = 112

const total = (...columns) => columns[0].map((_, at) => columns.reduce((sum, column) => sum + column[at], 0))

// A line of a chart: `colour` is the name of a custom property, `figure` what is shown of it in the legend.
const line = (label, colour, more = {}) => ({ label, colour, ...more })

export const CHARTS = {
  'chart-requests': {
    title: 'Requests a second',
    show: rate,
    lines: [
      line('2xx', 'good', { fill: 1 }),
      line('3xx', 'moved', { fill: 1 }),
      line('4xx', 'client', { fill: 1 }),
      line('5xx', 'bad', { fill: 1 }),
    ],
    // Stacked: what went wrong lies at the bottom, where the eye measures best. The legend shows each by itself.
    rows: past => past.since(600, 't', '2xx', '3xx', '4xx', '5xx'),
    stack: ([ok, moved, client, bad]) => [total(bad, client, moved, ok), total(bad, client, moved), total(bad, client), bad],
  },
  'chart-latency': {
    title: 'Latency',
    show: milliseconds,
    logarithmic: true,
    lines: [line('p50', 'first'), line('p90', 'second'), line('p99', 'third')],
    rows: past => past.since(600, 't', 'p50', 'p90', 'p99'),
  },
  'chart-bytes': {
    title: 'Bytes a second',
    show: bytes,
    lines: [line('sent', 'second', { fill: 0.18 })],
    rows: past => past.since(600, 't', 'bytes'),
  },
  'chart-connections': {
    title: 'Connections',
    show: rate,
    lines: [line('open', 'first', { fill: 0.18 }), line('queued', 'third'), line('refused/s', 'bad')],
    rows: past => past.since(600, 't', 'active', 'queued', 'refused'),
  },
  'chart-cache': {
    title: 'Found in the cache',
    show: percent,
    height: SMALL,
    range: [0, 1],
    lines: [line('hits', 'first', { fill: 0.18 })],
    rows: past => {
      const [times, hits, misses] = past.since(600, 't', 'hits', 'misses')
      return [times, hits.map((hit, at) => (hit + misses[at] ? hit / (hit + misses[at]) : null))]
    },
  },
}

const colours = names => {
  const style = getComputedStyle(document.documentElement)
  return Object.fromEntries(names.map(name => [name, style.getPropertyValue('--' + name).trim()]))
}

const NAMES = ['ink', 'quiet', 'line', 'good', 'moved', 'client', 'bad', 'first', 'second', 'third', 'card']

export class Chart {
  constructor(figure, spec, shared) {
    this.spec = spec
    this.shared = shared
    this.values = []
    const caption = document.createElement('figcaption')
    const title = document.createElement('strong')
    title.textContent = spec.title
    caption.append(title)
    this.legend = spec.lines.map(one => {
      const entry = document.createElement('span')
      const [swatch, value] = [document.createElement('i'), document.createElement('b')]
      swatch.setAttribute('aria-hidden', 'true')
      entry.append(swatch, `${one.label} `, value)
      caption.append(entry)
      return { swatch, value }
    })
    this.plot = document.createElement('div')
    this.plot.className = 'plot'
    this.plot.setAttribute('aria-hidden', 'true')
    figure.replaceChildren(caption, this.plot)
    this.build()
    new ResizeObserver(() => this.resize()).observe(this.plot)
  }

  // Made anew when the colours change: uPlot keeps those that it began with.
  build() {
    if (this.chart) this.chart.destroy()
    const palette = colours(NAMES)
    const { spec } = this
    const axis = { stroke: palette.quiet, grid: { stroke: palette.line, width: 1 }, ticks: { show: false }, font: '12px system-ui' }
    const options = {
      width: this.plot.clientWidth || 300,
      height: spec.height || HEIGHT,
      padding: [8, 30, 0, 0],
      legend: { show: false },
      cursor: { sync: { key: 'wsrv' }, y: false, drag: { setScale: false, x: false }, points: { size: 6 } },
      scales: { x: { range: () => this.span() }, y: this.scale() },
      axes: [
        { ...axis, space: 70, size: 28, gap: 7, values: (_, splits, __, ___, step) => splits.map(split => moment(split, step)) },
        { ...axis, size: 58, space: 34, grid: { ...axis.grid, filter: spec.logarithmic ? wholeDecades : (_, splits) => splits }, values: (_, splits) => splits.map(split => (split === null ? '' : spec.show(split))) },
      ],
      series: [{}, ...spec.lines.map(one => this.series(one, palette))],
      hooks: { setCursor: [chart => this.tell(chart.cursor.idx)] },
    }
    this.legend.forEach(({ swatch }, at) => (swatch.style.background = palette[spec.lines[at].colour]))
    this.chart = new uPlot(options, this.drawn(), this.plot)
  }

  series(one, palette) {
    const colour = palette[one.colour]
    // Of a stack each covers the one behind it, down to the axis.
    const fill = one.fill && colour + Math.round(one.fill * 255).toString(16).padStart(2, '0')
    return { label: one.label, stroke: colour, width: one.fill === 1 ? 0 : 1.75, fill, points: { show: false } }
  }

  scale() {
    if (this.spec.range) return { range: this.spec.range }
    if (this.spec.logarithmic) return { distr: 3, range: (_, low, high) => decades(low, high) }
    return { range: (_, __, high) => [0, high > 0 ? high * 1.08 : 1] }
  }

  // What was asked for, or as much of it as there is; never less than a minute.
  span() {
    const times = this.values[0] || []
    const end = times.length ? times[times.length - 1] : Date.now() / 1000
    const known = times.length ? end - times[0] : 0
    return [end - Math.max(60, Math.min(this.shared.seconds, known)), end]
  }

  drawn() {
    const [times = [], ...columns] = this.values
    const none = this.spec.lines.map(() => [])
    if (!times.length) return [[], ...none]
    return [times, ...(this.spec.stack ? this.spec.stack(columns) : columns)]
  }

  show(past) {
    this.values = this.spec.rows(past)
    this.chart.setData(this.drawn())
    this.tell(this.chart.cursor.idx)
  }

  // Of the moment under the pointer, else of now.
  tell(at) {
    const last = (this.values[0] || []).length - 1
    const moment = at === null || at === undefined || at > last ? last : at
    this.legend.forEach(({ value }, number) => {
      const text = this.spec.show(moment < 0 ? undefined : this.values[number + 1][moment])
      if (value.textContent !== text) value.textContent = text
    })
  }

  resize() {
    const width = this.plot.clientWidth
    if (width && width !== this.chart.width) this.chart.setSize({ width, height: this.spec.height || HEIGHT })
  }
}

// Whole decades around what is shown, so that the axis does not move with every sample.
function decades(low, high) {
  if (!(high > 0)) return [0.01, 10]
  return [10 ** Math.floor(Math.log10(Math.max(low, 0.001))), 10 ** Math.ceil(Math.log10(high) + 0.01)]
}

const wholeDecades = (_, splits) => splits.map(split => (Number.isInteger(Math.log10(split)) ? split : null))

const moment = (seconds, step) => {
  const text = new Date(seconds * 1000).toLocaleTimeString('en-GB')
  return step >= 60 ? text.slice(0, 5) : text
}
