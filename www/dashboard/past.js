// The last minutes, a column a figure. The server numbers its samples, so that a gap is seen and none is shown twice.

const MOST = 600

export class Past {
  constructor() {
    this.columns = {}
    this.names = []
    this.last = -1
  }

  get length() {
    return this.names.length ? this.columns.n.length : 0
  }

  // Take in samples; whether those between are missing.
  add({ columns, samples }) {
    if (!this.names.length) this.clear(columns)
    // A server that was started anew counts from zero.
    if (samples.length && samples[samples.length - 1][0] < this.last) this.clear(columns)
    const fresh = samples.filter(sample => sample[0] > this.last)
    const gap = fresh.length > 0 && this.last >= 0 && fresh[0][0] > this.last + 1
    for (const sample of fresh) {
      this.names.forEach((name, at) => this.columns[name].push(sample[at]))
      this.last = sample[0]
    }
    for (const name of this.names) this.columns[name].splice(0, this.columns[name].length - MOST)
    return gap
  }

  clear(names) {
    this.names = names
    this.columns = Object.fromEntries(names.map(name => [name, []]))
    this.last = -1
  }

  // The last value of a figure; undefined before there is one.
  now(name) {
    return this.length ? this.columns[name][this.length - 1] : undefined
  }

  // The sum of a figure over the last seconds.
  sum(name, seconds) {
    return this.length ? this.columns[name].slice(-seconds).reduce((total, value) => total + value, 0) : 0
  }

  // The columns of these figures from `seconds` ago on.
  since(seconds, ...names) {
    if (!this.length) return names.map(() => [])
    const times = this.columns.t
    const first = times.findIndex(time => time >= times[times.length - 1] - seconds)
    return names.map(name => this.columns[name].slice(first))
  }
}
