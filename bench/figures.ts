/** What a benchmark says, and how it is printed. Ratios are what counts: seconds are the machine's. */

/** `tiny` shows in some seconds that a benchmark runs, `full` is measured by. */
export type Size = 'tiny' | 'full';

export interface Figure {
  readonly what: string;
  readonly ours: number;
  readonly unit: string;
  /** The other program, measured in the same run. */
  readonly other?: { readonly name: string; readonly value: number };
  /** What is to be reached: the ratio ours / other, or without another program our figure itself. */
  readonly goal?: { readonly least: number } | { readonly most: number };
}

export interface Outcome {
  readonly figures: readonly Figure[];
  /** What one must know to read the figures: losses, what was pinned where, where the time went. */
  readonly notes: readonly string[];
}

/** A benchmark runs inside a network namespace that has only it. */
export type Bench = (size: Size) => Promise<Outcome>;

function ratioOf({ ours, other }: Figure): number | undefined {
  return other && ours / other.value;
}

export function reaches(figure: Figure): boolean | undefined {
  const { goal } = figure;
  if (goal === undefined) return undefined;
  const value = ratioOf(figure) ?? figure.ours;
  return 'least' in goal ? value >= goal.least : value <= goal.most;
}

/** One line of a figure: what, ours, the other, the ratio, and the goal with whether it is reached. */
export function lineOf(figure: Figure): string {
  const { what, ours, unit, other, goal } = figure;
  const ratio = ratioOf(figure);
  return [
    `  ${what}: ${rounded(ours)} ${unit}`,
    other && `${other.name} ${rounded(other.value)}`,
    ratio !== undefined && `ratio ${ratio.toFixed(2)}`,
    goal && `goal ${goalText(goal)} ${reaches(figure) ? 'reached' : 'MISSED'}`,
  ]
    .filter(Boolean)
    .join(' | ');
}

function goalText(goal: NonNullable<Figure['goal']>): string {
  return 'least' in goal ? `>= ${goal.least}` : `<= ${goal.most}`;
}

function rounded(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(3);
}
