// What the server sends, however it comes: by server-sent events, or asked for where those do not come.
//
// A state is one of: wait, live, polling, silent (the master does not answer its worker), lost, paused.

const POLL_MS = 2000
// Events come once a second; so long without one, and the connection is as good as gone.
const PATIENCE_MS = 5000
// How long to ask instead before events are tried again.
const RETRY_MS = 30_000

export class Feed {
  // `heard` gets each document, `became` each new state.
  constructor(heard, became) {
    this.heard = heard
    this.became = became
    this.source = null
    this.timer = null
    this.state = 'wait'
    this.lastMs = performance.now()
    this.askUntilMs = 0
    setInterval(() => this.watch(), 1000)
  }

  start() {
    this.stop()
    this.lastMs = performance.now()
    if (!window.EventSource || performance.now() < this.askUntilMs) {
      this.poll()
      return
    }
    this.source = new EventSource('events')
    this.source.onmessage = event => this.take(JSON.parse(event.data), 'live')
    this.source.addEventListener('silent', () => {
      this.lastMs = performance.now()
      this.become('silent')
    })
    // A stream that ends is begun again by the browser; one that is refused is not.
    this.source.onerror = () => {
      if (this.source && this.source.readyState === EventSource.CLOSED) this.fallBack()
    }
  }

  stop() {
    if (this.source) this.source.close()
    this.source = null
    clearTimeout(this.timer)
    this.timer = null
  }

  fallBack() {
    this.askUntilMs = performance.now() + RETRY_MS
    this.start()
  }

  async poll() {
    this.timer = setTimeout(() => (performance.now() < this.askUntilMs ? this.poll() : this.start()), POLL_MS)
    try {
      const answer = await fetch('live.json', { cache: 'no-store' })
      if (answer.ok) this.take(await answer.json(), 'polling')
      else this.become(answer.status === 503 ? 'silent' : 'lost')
    } catch {
      this.become('lost')
    }
  }

  take(document, state) {
    this.lastMs = performance.now()
    this.become(state)
    this.heard(document)
  }

  // Nothing came for long: the stream hangs, or the server is gone.
  watch() {
    const running = this.source || this.timer
    if (!running || performance.now() - this.lastMs < PATIENCE_MS) return
    this.become('lost')
    if (this.source) this.fallBack()
  }

  become(state) {
    if (state === this.state) return
    this.state = state
    this.became(state)
  }
}

export async function history() {
  const answer = await fetch('history.json', { cache: 'no-store' })
  if (!answer.ok) throw new Error(`history.json: ${answer.status}`)
  return answer.json()
}
