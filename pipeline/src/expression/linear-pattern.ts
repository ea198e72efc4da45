// Regular expressions whose time grows with the length of the text and nothing else. A pattern that the built-in
// engine provably matches without backtracking far runs there; every other runs on RE2's algorithm. Both have RE2's
// meaning; look-around and back-references do not exist.

import { EtlError, limits } from '@etl-router/core';
import { RE2JS } from 're2js';

/** A compiled pattern. */
export interface LinearPattern {
  /** True when the pattern matches anywhere in `text`. */
  test(text: string): boolean;
  /** True when the built-in engine runs it. */
  readonly native: boolean;
}

/** Compiles a pattern in RE2's syntax. Throws ETL_INVALID_ARGUMENT that says what is wrong with it. */
export function compilePattern(pattern: string): LinearPattern {
  if (Buffer.byteLength(pattern) > limits.patternMaxBytes) {
    const message = `the pattern is longer than ${limits.patternMaxBytes} bytes`;
    throw new EtlError('ETL_INVALID_ARGUMENT', message);
  }
  const linear = compileLinear(pattern);
  const translated = translate(pattern);
  if (translated === undefined) return { test: (text) => linear.test(text), native: false };
  const native = new RegExp(translated, 'u');
  return { test: (text) => native.test(text), native: true };
}

function compileLinear(pattern: string): RE2JS {
  try {
    return RE2JS.compile(pattern);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new EtlError('ETL_INVALID_ARGUMENT', `the pattern is refused: ${why}`, { cause });
  }
}

// One alternative of the safe subset: `^`, then single characters of which at most one has a quantifier, then `$`.
// A text of n characters is tried from each of n places (from one, after `^`), each try stepping at most once over
// each of the pattern's k characters but the quantified one. Unbounded quantifiers are allowed after `^` only, so the
// whole is O(n × k); with a second quantifier or with groups it would not be.
const literal = String.raw`[^\\^$.*+?()[\]{}|\n\r]`;
const escape = String.raw`\\[\\^$.*+?()[\]{}|/]`;
const digits = String.raw`\\[dDwW]`;
const set = String.raw`\[\^?(?:[\w.,:;@ ](?:-[\w])?|\\[dw]){1,60}\]`;
const single = `(?:${literal}|${escape}|${digits}|\\.|${set})`;
const plain = new RegExp(`^\\^?(?:${single})*\\$?$`, 'u');
const optional = new RegExp(`^\\^?(?:${single})*(?:\\?)?(?:${single})*\\$?$`, 'u');
const anchored = new RegExp(`^\\^(?:${single})*(?:(?:${single})[*+])?(?:${single})*\\$?$`, 'u');
const maxNativeLength = 100;

/** The pattern for the built-in engine (`u` flag), or undefined when it is not in the subset. */
function translate(pattern: string): string | undefined {
  if (pattern.length > maxNativeLength || !isAscii(pattern)) return undefined;
  for (const alternative of pattern.split('|')) {
    const safe =
      plain.test(alternative) || optional.test(alternative) || anchored.test(alternative);
    if (!safe || alternative.endsWith('\\')) return undefined;
  }
  return pattern.replace(/\\.|\[[^\]]*\]|\./gu, (part) => (part === '.' ? '[^\\n]' : part));
}

function isAscii(text: string): boolean {
  for (let index = 0; index < text.length; index++) if (text.charCodeAt(index) > 126) return false;
  return true;
}
