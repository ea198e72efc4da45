import { deepEqual, equal } from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type Cell, createConverter } from '../../src/columns/convert.ts';
import { createFormatter } from '../../src/columns/format.ts';
import { parseInstant } from '../../src/columns/instant.ts';
import {
  type ColumnType,
  columnTypeNames,
  findColumnType,
  formatColumnType,
  isSameType,
} from '../../src/columns/type.ts';

function convert(type: string, value: unknown): Cell | null | undefined {
  return createConverter(findColumnType(type) as ColumnType)(value);
}

describe('conversion', () => {
  test('integers fit by their range and nothing is rounded', () => {
    fc.assert(
      fc.property(
        fc.constantFrom<[string, bigint, bigint]>(
          ['TINYINT', -128n, 127n],
          ['USMALLINT', 0n, 65_535n],
          ['INTEGER', -(2n ** 31n), 2n ** 31n - 1n],
          ['BIGINT', -(2n ** 63n), 2n ** 63n - 1n],
          ['UBIGINT', 0n, 2n ** 64n - 1n],
          ['UHUGEINT', 0n, 2n ** 128n - 1n],
        ),
        fc.bigInt({ min: -(2n ** 129n), max: 2n ** 129n }),
        fc.integer({ min: 0, max: 128 }),
        ([type, min, max], wide, shift) => {
          const value = wide >> BigInt(shift);
          const fits = value >= min && value <= max;
          const cell = convert(type, String(value));
          equal(cell === undefined ? undefined : String(cell), fits ? String(value) : undefined);
          if (Number.isSafeInteger(Number(value))) {
            const ofNumber = convert(type, Number(value));
            equal(
              ofNumber === undefined ? undefined : String(ofNumber),
              fits ? String(value) : undefined,
            );
          }
        },
      ),
    );
  });

  test('a decimal is the number its text says, or does not fit', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: -(10n ** 20n), max: 10n ** 20n }),
        fc.integer({ min: 0, max: 12 }),
        fc.integer({ min: 1, max: 38 }),
        fc.integer({ min: 0, max: 12 }),
        (unscaled, digits, width, scale) => {
          const type: ColumnType = { kind: 'decimal', width, scale: Math.min(scale, width) };
          const text = createFormatter({ kind: 'decimal', width: 38, scale: digits })(unscaled);
          const exact = unscaled * 10n ** BigInt(type.scale);
          const isWhole = exact % 10n ** BigInt(digits) === 0n;
          const wanted = exact / 10n ** BigInt(digits);
          const fits = isWhole && (wanted < 0n ? -wanted : wanted) < 10n ** BigInt(width);
          equal(createConverter(type)(text), fits ? wanted : undefined);
        },
      ),
    );
  });

  test('a JSON number fits a decimal as it is written, up to 15 digits', () => {
    for (const [value, wanted] of [
      [0.1, 10000n],
      [1e-5, 1n],
      [1e-6, undefined],
      [123456.78901, 12345678901n],
      [0.1 + 0.2, undefined],
      [1e12, 100000000000000000n],
      [-0, 0n],
    ] as const) {
      equal(convert('DECIMAL(18,5)', value), wanted, String(value));
    }
  });

  test('times are read as Date reads them, and impossible ones do not fit', () => {
    fc.assert(
      fc.property(fc.integer({ min: -62_135_596_800_000, max: 253_402_300_799_999 }), (ms) => {
        const text = new Date(ms).toISOString();
        deepEqual(parseInstant(text), {
          seconds: Math.floor(ms / 1000),
          nanos: (ms - Math.floor(ms / 1000) * 1000) * 1_000_000,
          zoned: true,
        });
      }),
    );
    for (const text of [
      '2026-02-29',
      '1900-02-29',
      '2026-04-31',
      '2026-13-01',
      '0000-01-01',
      '2026-1-01',
      '2026-01-01T',
    ]) {
      equal(convert('DATE', text), undefined, text);
    }
    for (const text of [
      '2026-01-01T24:00:00Z',
      '2026-01-01T00:60:00Z',
      '2026-01-01T00:00:60Z',
      '2026-01-01T00:00:00',
      '2026-01-01T00:00:00.Z',
      '2026-01-01T00:00:00+0100',
      '2026-01-01T00:00:00Zx',
    ]) {
      equal(convert('TIMESTAMPTZ', text), undefined, text);
    }
    equal(convert('TIMESTAMP', '1969-12-31T23:59:59.999999'), -1n);
    equal(convert('TIMESTAMP_NS', '2300-01-01T00:00:00'), undefined);
  });

  test('a value of another kind never fits', () => {
    for (const [type, values] of Object.entries({
      BOOLEAN: ['true', 1, {}],
      BIGINT: [1.5, '1.0', '', ' 1', true, 1e300, {}],
      DOUBLE: ['1', true, [], 2n ** 64n + 1n],
      VARCHAR: [1, true, {}, '\ud800'],
      BLOB: ['x', 'AP8', 'AP-_', 1],
      UUID: ['x', '00000000-0000-0000-0000-00000000000', 1],
      DECIMAL: ['1e3', '.5', '1.', '+1', true],
      FLOAT: [1e39],
    })) {
      for (const value of values) equal(convert(type, value), undefined, `${type} ${typeof value}`);
    }
  });

  test('what a formatter writes, the converter reads back', () => {
    const cases: readonly [string, fc.Arbitrary<Cell>][] = [
      ['DATE', fc.integer({ min: -719_162, max: 2_932_896 })],
      ['TIME', fc.bigInt({ min: 0n, max: 86_399_999_999n })],
      ['TIMESTAMP', fc.bigInt({ min: -62_135_596_800_000_000n, max: 253_402_300_799_999_999n })],
      ['TIMESTAMP_NS', fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n })],
      ['TIMESTAMPTZ', fc.bigInt({ min: -62_135_596_800_000_000n, max: 253_402_300_799_999_999n })],
      ['DECIMAL(38,7)', fc.bigInt({ min: -(10n ** 37n), max: 10n ** 37n })],
      ['BLOB', fc.uint8Array().map((bytes) => Buffer.from(bytes))],
      ['HUGEINT', fc.bigInt({ min: -(2n ** 127n), max: 2n ** 127n - 1n })],
    ];
    for (const [name, cells] of cases) {
      const type = findColumnType(name) as ColumnType;
      const [format, read] = [createFormatter(type), createConverter(type)];
      fc.assert(fc.property(cells, (cell) => deepEqual(read(format(cell)), cell)));
    }
  });
});

test('every type has one name that is read back as itself', () => {
  for (const name of [
    ...columnTypeNames.filter((known) => !known.includes('(')),
    'decimal(20, 4)',
    ' Double ',
  ]) {
    const type = findColumnType(name) as ColumnType;
    deepEqual(isSameType(findColumnType(formatColumnType(type)) as ColumnType, type), true, name);
  }
  for (const name of [
    '',
    'INTERVAL',
    'DECIMAL(39,1)',
    'DECIMAL(3,4)',
    'INT[]',
    'VARCHAR; DROP TABLE t',
  ]) {
    equal(findColumnType(name), undefined, name);
  }
});
