// What can be told at the start of a machine's clock. A clock that is minutes off is judged by nobody here, as elections
// and leases run on another one; a clock that was never set makes certificates invalid and records decades old.

const earliest = '2026-11-01T00:00:00Z';
const yearsMax = 50;

/** What is to be said of a time of day, in milliseconds since 1970; nothing where it can be right. */
export function clockWarnings(nowMs: number): readonly string[] {
  const sinceMs = nowMs - Date.parse(earliest);
  if (sinceMs >= 0 && sinceMs < yearsMax * 365 * 86_400_000) return [];
  const said = new Date(nowMs).toISOString();
  const why = sinceMs < 0 ? 'which is before this release was made' : 'which is decades away';
  return [
    `the clock of this machine says ${said}, ${why}: certificates, tokens and times of records are judged by it; set it, best by NTP`,
  ];
}
