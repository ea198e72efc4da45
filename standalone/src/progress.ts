// What a person sees of a run: one live line while it goes, a table at the end. Pure: state in, text out.

/** Counters of one stage as the progress shows them. */
export interface StageProgress {
  readonly name: string;
  readonly kind: 'source' | 'transform' | 'sink';
  readonly recordsIn: number;
  readonly recordsOut: number;
  readonly filtered: number;
  readonly retried: number;
  readonly deadLettered: number;
  readonly dropped: number;
}

/** One pipeline at one moment. */
export interface PipelineProgress {
  readonly pipeline: string;
  readonly phase: string;
  /** Records left to read, where the source knows. */
  readonly lagRecords: number | undefined;
  readonly inFlightRecords: number;
  readonly stages: readonly StageProgress[];
}

/** `1,234,567`. */
export function formatCount(count: number): string {
  return String(Math.round(count)).replace(/\B(?=(\d{3})+$)/g, ',');
}

/** One line: records read, rate, lag, and what each sink stored. */
export function renderProgressLine(progress: PipelineProgress, recordsPerSecond: number): string {
  const read = progress.stages
    .filter(({ kind }) => kind === 'source')
    .reduce((sum, stage) => sum + stage.recordsOut, 0);
  const sinks = progress.stages
    .filter(({ kind }) => kind === 'sink')
    .map((stage) => `${stage.name} ${formatCount(stage.recordsOut)}`);
  const lag = progress.lagRecords === undefined ? '' : ` · lag ${formatCount(progress.lagRecords)}`;
  return `${progress.pipeline}: ${formatCount(read)} read · ${formatCount(recordsPerSecond)}/s${lag} → ${sinks.join(' · ')}`;
}

/** What it waits for, such as a sink that does not answer, on a line of its own; no line when it waits for nothing. */
export function renderWaiting(message: string): readonly string[] {
  return message === '' ? [] : [`  waiting: ${message.replaceAll(/\s+/g, ' ')}`];
}

/** The table at the end of a run: every stage with its counts. */
export function renderSummary(
  progress: PipelineProgress,
  elapsedMs: number,
  peakRssBytes: number,
): string {
  const header = ['STAGE', 'KIND', 'IN', 'OUT', 'FILTERED', 'RETRIED', 'DEAD', 'DROPPED'];
  const rows = progress.stages.map((stage) => [
    stage.name,
    stage.kind,
    formatCount(stage.recordsIn),
    formatCount(stage.recordsOut),
    formatCount(stage.filtered),
    formatCount(stage.retried),
    formatCount(stage.deadLettered),
    formatCount(stage.dropped),
  ]);
  const widths = header.map((_, column) =>
    Math.max(...[header, ...rows].map((row) => (row[column] as string).length)),
  );
  const lines = [header, ...rows].map((row) =>
    row
      .map((cell, column) =>
        column < 2
          ? cell.padEnd(widths[column] as number)
          : cell.padStart(widths[column] as number),
      )
      .join('  '),
  );
  const read = progress.stages
    .filter(({ kind }) => kind === 'source')
    .reduce((sum, stage) => sum + stage.recordsOut, 0);
  const seconds = elapsedMs / 1000;
  const rate = seconds > 0 ? read / seconds : 0;
  return [
    `${progress.pipeline}: ${progress.phase}`,
    ...lines.map((line) => `  ${line.trimEnd()}`),
    `  ${formatCount(read)} records in ${seconds.toFixed(1)} s, ${formatCount(rate)} records/s, peak memory ${Math.round(peakRssBytes / 1_048_576)} MiB`,
    '',
  ].join('\n');
}
