// Logging: one JSON object a line on standard error, by pino. Payloads and secrets never reach it.

import { destination, type Logger as PinoLogger, pino, stdTimeFunctions } from 'pino';

/** A structured logger: `logger.info({ pipeline }, 'message')`. */
export type Logger = PinoLogger;

/** Levels from quiet to loud. */
export const logLevels = ['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const;
export type LogLevel = (typeof logLevels)[number];

/** Paths whose values are replaced before they are written. */
const redactedPaths = [
  'password',
  'token',
  'secret',
  'authorization',
  '*.password',
  '*.token',
  '*.secret',
  '*.authorization',
];

/** A logger on standard error. `logger` names the part of the product, as in `{"logger":"router"}`. */
export function createLogger(options: {
  readonly logger: string;
  readonly level: LogLevel;
}): Logger {
  return pino(
    {
      level: options.level,
      base: { logger: options.logger },
      redact: { paths: redactedPaths, censor: '[redacted]' },
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    destination({ dest: 2, sync: true }),
  );
}

/** A logger that writes nothing. */
export const silentLogger: Logger = pino({ level: 'silent' });

/** A logger for another thread: every line goes to `write`, and from there to {@link logRelayed}. */
export function createRelayLogger(level: LogLevel, write: (line: string) => void): Logger {
  const formatters = { level: (label: string): object => ({ level: label }) };
  return pino({ level, base: null, timestamp: false, formatters }, { write });
}

/** Logs what a relay logger wrote. */
export function logRelayed(logger: Logger, line: string): void {
  const { level, msg, ...fields } = JSON.parse(line) as {
    readonly level: Exclude<LogLevel, 'silent'>;
    readonly msg: string;
  };
  logger[level](fields, msg);
}
