// Numbers as people read them. Nothing here knows what they are about.

const WHOLE = new Intl.NumberFormat('en')
const SHORT = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 })
const UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB']

export const NONE = '–'

export const count = number => (number === null || number === undefined ? NONE : WHOLE.format(number))

// A rate: what is small keeps its digits, what is large does not need them.
export const rate = number => {
  if (number === null || number === undefined || Number.isNaN(number)) return NONE
  if (number >= 10_000) return SHORT.format(number / 1000) + 'k'
  return number >= 100 || number === 0 ? WHOLE.format(Math.round(number)) : SHORT.format(number)
}

export const bytes = number => {
  if (number === null || number === undefined) return NONE
  let unit = 0
  while (number >= 1000 && unit < UNITS.length - 1) {
    number /= 1000
    unit += 1
  }
  return (unit === 0 ? WHOLE.format(Math.round(number)) : SHORT.format(number)) + ' ' + UNITS[unit]
}

export const milliseconds = number => {
  if (number === null || number === undefined) return NONE
  if (number >= 1000) return SHORT.format(number / 1000) + ' s'
  return number < 1 ? SHORT.format(number * 1000) + ' µs' : SHORT.format(number) + ' ms'
}

// What was less than a millisecond ago is nothing that a page can tell apart from this moment.
export const ago = seconds => (seconds < 0.001 ? 'just now' : `${milliseconds(seconds * 1000)} ago`)

export const percent = share => (share === null || Number.isNaN(share) ? NONE : SHORT.format(share * 100) + ' %')

export const duration = seconds => {
  const whole = Math.floor(seconds)
  const [days, hours, minutes] = [Math.floor(whole / 86400), Math.floor(whole / 3600) % 24, Math.floor(whole / 60) % 60]
  if (days) return `${days} d ${hours} h`
  if (hours) return `${hours} h ${minutes} min`
  return minutes ? `${minutes} min ${whole % 60} s` : `${whole} s`
}

export const clock = epochSeconds => new Date(epochSeconds * 1000).toLocaleTimeString('en-GB')

export const plural = (number, one, many = one + 's') => `${count(number)} ${number === 1 ? one : many}`
