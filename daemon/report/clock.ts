/** Time as the reporter sees it, so that tests can make it pass. */
export interface Clock {
  /** Unix time, for what others read. Milliseconds. */
  unixMs(): number;
  /** For intervals and deadlines: nobody sets it back. Milliseconds. */
  nowMs(): number;
  /** Calls back once, after at least so long; answers how to call it off. */
  after(ms: number, callback: () => void): () => void;
}

export const systemClock: Clock = {
  unixMs: () => Date.now(),
  nowMs: () => performance.now(),
  after(ms, callback) {
    const timer = setTimeout(callback, ms);
    return () => clearTimeout(timer);
  },
};
