// Commands of the machine that the runner needs: ip, mount, mkfs. One that fails says what it was and why.

import { execFile } from 'node:child_process';

/** Runs a command to its end and resolves with what it printed. */
export function command(name: string, ...args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(name, args, { timeout: 60_000, maxBuffer: 1 << 24 }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`${name} ${args.join(' ')}: ${stderr.trim() || error.message}`));
    });
  });
}
