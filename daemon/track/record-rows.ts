/**
 * Records of fixed size in a few large buffers: a key, and 32-bit words behind it. A record keeps its row for as long as
 * it lives, but for `compact`.
 */

const CHUNK_SHIFT = 14;
const CHUNK_ROWS = 1 << CHUNK_SHIFT;
const FIRST_ROWS = 16;
const NONE = 0xffff_ffff;

export class RecordRows {
  /** Records alive. */
  size = 0;
  /** The chunk of the record that `select` was told, and where its words behind the key begin in it. */
  words = new Uint32Array(0);
  at = 0;
  #selectedTimes = new Float64Array(0);
  readonly #keyWords: number;
  readonly #stride: number;
  readonly #aliveWord: number;
  readonly #chunks: Uint32Array[] = [];
  readonly #times: Float64Array[] = [];
  /** Rows ever used; those given back are chained by their first word. */
  #rows = 0;
  #free = NONE;

  /** @param aliveWord the one of those behind the key that is 0 where there is no record. All are even in number. */
  constructor(keyWords: number, dataWords: number, aliveWord: number) {
    this.#keyWords = keyWords;
    this.#stride = keyWords + dataWords;
    this.#aliveWord = aliveWord;
  }

  select(row: number): void {
    const chunk = row >>> CHUNK_SHIFT;
    this.words = this.#chunks[chunk] as Uint32Array<ArrayBuffer>;
    this.#selectedTimes = this.#times[chunk] as Float64Array<ArrayBuffer>;
    this.at = (row & (CHUNK_ROWS - 1)) * this.#stride + this.#keyWords;
  }

  get(word: number): number {
    return this.words[this.at + word] as number;
  }

  set(word: number, value: number): void {
    this.words[this.at + word] = value;
  }

  getMs(word: number): number {
    return this.#selectedTimes[(this.at + word) >>> 1] as number;
  }

  setMs(word: number, ms: number): void {
    this.#selectedTimes[(this.at + word) >>> 1] = ms;
  }

  /** Selects the first record behind a row, -1 for the first of all. @returns its row, or -1 when there is none */
  next(row: number): number {
    for (let next = row + 1; next < this.#rows; next++) {
      this.select(next);
      if (this.get(this.#aliveWord) !== 0) return next;
    }
    return -1;
  }

  /** Takes the record of a row away, and selects it. */
  remove(row: number): void {
    this.select(row);
    this.set(this.#aliveWord, 0);
    this.set(0, this.#free);
    this.#free = row;
    this.size--;
  }

  /** How many records there is memory for. */
  get room(): number {
    const last = this.#chunks.length - 1;
    return last < 0 ? 0 : last * CHUNK_ROWS + (this.#chunks[last]?.length ?? 0) / this.#stride;
  }

  /** Whether less than a quarter of the memory is in use, so that `compact` does something. */
  get sparse(): boolean {
    return this.room > FIRST_ROWS && 4 * this.size < this.room;
  }

  /**
   * What was full once does not keep its memory: the records move together, and the rest is given back.
   * @param onKept is told each record's new row, in ascending order; no record alive has it at that time
   */
  compact(onKept: (from: number, to: number) => void): void {
    if (!this.sparse) return;
    let to = 0;
    for (let from = this.next(-1); from >= 0; from = this.next(from)) {
      if (from !== to) this.#copy(to);
      onKept(from, to);
      to++;
    }
    this.#rows = to;
    this.#free = NONE;
    this.#cutChunks();
    // What was selected would keep its chunk.
    this.select(0);
  }

  /** A row for a new record, which is selected. Its words are what they were. */
  protected take(): number {
    const row = this.#takeRow();
    this.select(row);
    this.size++;
    return row;
  }

  /** Whether a row was ever used. */
  protected has(row: number): boolean {
    return row >= 0 && row < this.#rows;
  }

  /** Writes the selected record into another row. */
  #copy(to: number): void {
    const start = this.at - this.#keyWords;
    const chunk = this.#chunks[to >>> CHUNK_SHIFT];
    chunk?.set(this.words.subarray(start, start + this.#stride), (to & (CHUNK_ROWS - 1)) * this.#stride);
  }

  #cutChunks(): void {
    const count = Math.max(1, Math.ceil(this.#rows / CHUNK_ROWS));
    this.#chunks.length = count;
    this.#times.length = count;
    const [first] = this.#chunks;
    if (count > 1 || first === undefined) return;
    let rows = FIRST_ROWS;
    while (rows < this.#rows) rows *= 2;
    this.#setChunk(0, first.slice(0, rows * this.#stride));
  }

  #takeRow(): number {
    if (this.#free !== NONE) {
      const row = this.#free;
      this.select(row);
      this.#free = this.get(0);
      return row;
    }
    const row = this.#rows++;
    if (row >= this.room) this.#addRoom();
    return row;
  }

  /** The first chunk grows by doubling, because most namespaces have few sockets. */
  #addRoom(): void {
    const [first] = this.#chunks;
    const most = CHUNK_ROWS * this.#stride;
    if (first !== undefined && (this.#chunks.length > 1 || first.length === most)) {
      this.#setChunk(this.#chunks.length, new Uint32Array(most));
      return;
    }
    const grown = new Uint32Array(first === undefined ? FIRST_ROWS * this.#stride : 2 * first.length);
    if (first !== undefined) grown.set(first);
    this.#setChunk(0, grown);
  }

  #setChunk(place: number, chunk: Uint32Array<ArrayBuffer>): void {
    this.#chunks[place] = chunk;
    this.#times[place] = new Float64Array(chunk.buffer);
  }
}
