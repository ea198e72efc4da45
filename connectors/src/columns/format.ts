// Cells as text, for formats that hold nothing else.

import type { Cell } from './convert.ts';
import type { ColumnType, TimeDigits } from './type.ts';

/** The function that writes cells of a type; what it writes, the type's converter reads back to the same cell. */
export function createFormatter(type: ColumnType): (cell: Cell) => string {
  switch (type.kind) {
    case 'decimal':
      return (cell) => pointed(cell as bigint, type.scale);
    case 'bytes':
      return (cell) => Buffer.from(cell as Uint8Array).toString('base64');
    case 'date':
      return (cell) => isoDate(cell as number);
    case 'time':
      return (cell) => timeOfDay(cell as bigint, 6);
    case 'timestamp':
      return (cell) => instant(cell as bigint, type.digits) + (type.zoned ? 'Z' : '');
    case 'boolean':
    case 'integer':
    case 'float':
    case 'double':
    case 'text':
    case 'uuid':
    case 'json':
      return String;
  }
}

function pointed(unscaled: bigint, scale: number): string {
  if (scale === 0) return String(unscaled);
  const negative = unscaled < 0n;
  const digits = String(negative ? -unscaled : unscaled).padStart(scale + 1, '0');
  const at = digits.length - scale;
  return `${negative ? '-' : ''}${digits.slice(0, at)}.${digits.slice(at)}`;
}

const dayMs = 86_400_000;

function isoDate(days: number): string {
  return new Date(days * dayMs).toISOString().slice(0, 10);
}

function timeOfDay(units: bigint, digits: TimeDigits): string {
  const perSecond = 10n ** BigInt(digits);
  const text = new Date(Number(units / perSecond) * 1000).toISOString().slice(11, 19);
  const fraction = units % perSecond;
  return fraction === 0n ? text : `${text}.${String(fraction).padStart(digits, '0')}`;
}

function instant(units: bigint, digits: TimeDigits): string {
  const perDay = 86_400n * 10n ** BigInt(digits);
  const ofDay = ((units % perDay) + perDay) % perDay;
  return `${isoDate(Number((units - ofDay) / perDay))}T${timeOfDay(ofDay, digits)}`;
}
