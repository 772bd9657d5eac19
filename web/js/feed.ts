/** Events from the wasm module to the listeners, in order. */
import type { PortolanEvent } from './event.js';

/** Until someone listens, events wait here; beyond this many the oldest go. */
const KEPT = 1024;

/** Hands each event to every listener; the first listener gets what came before it too. */
export class EventFeed {
  #waiting: string[] = [];
  #started = false;
  readonly #listeners = new Set<(event: PortolanEvent) => void>();

  /** One event as JSON text. */
  push(json: string): void {
    if (!this.#started) {
      this.#waiting.push(json);
      if (this.#waiting.length > KEPT) this.#waiting.shift();
      return;
    }
    if (this.#listeners.size === 0) return;
    this.#deliver(JSON.parse(json) as PortolanEvent);
  }

  /** Adds a listener; the answer removes it. */
  subscribe(listener: (event: PortolanEvent) => void): () => void {
    const entry = (event: PortolanEvent): void => listener(event);
    this.#listeners.add(entry);
    if (!this.#started) {
      this.#started = true;
      const waiting = this.#waiting;
      this.#waiting = [];
      for (const json of waiting) this.#deliver(JSON.parse(json) as PortolanEvent);
    }
    return () => {
      this.#listeners.delete(entry);
    };
  }

  #deliver(event: PortolanEvent): void {
    for (const listener of [...this.#listeners]) {
      try {
        listener(event);
      } catch (thrown) {
        // A listener's failure is its own: it must not unwind into the driver that called us.
        reportError(thrown);
      }
    }
  }
}
