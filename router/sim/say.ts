// Lines for people, and one for programs.

export function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

export function sayJson(value: object): void {
  say(JSON.stringify(value));
}
