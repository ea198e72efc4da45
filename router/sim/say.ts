// Lines for people, and one for programs.

export function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** An error that is the operator's to fix: its message says all. */
export class ToldError extends Error {}

export function sayJson(value: object): void {
  say(JSON.stringify(value));
}
