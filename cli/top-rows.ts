/** The first rows of an order, out of as many as come, in room for little more than these. */

/** What is kept beside the rows wanted, so that rows are put in order seldom. */
const SPARE = 4_096;

export class TopRows<Row> {
  readonly #limit: number;
  readonly #order: (rows: readonly Row[]) => readonly Row[];
  #rows: Row[] = [];

  /**
   * @param limit how many are wanted; infinite keeps all
   * @param order puts rows in order; rows that are equal in it keep the order they have
   */
  constructor(limit: number, order: (rows: readonly Row[]) => readonly Row[]) {
    this.#limit = limit;
    this.#order = order;
  }

  add(row: Row): void {
    this.#rows.push(row);
    if (this.#rows.length >= 2 * this.#limit + SPARE) this.#rows = this.first().slice();
  }

  first(): readonly Row[] {
    return this.#order(this.#rows).slice(0, this.#limit);
  }
}
