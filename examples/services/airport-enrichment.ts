// The flights example's two lookups as one service of our own: adds name, city and state of both airports of a flight.
// ORD, BOS and STL are left out on purpose: their flights go on, marked as not known. Run it with PORT=7001 and
// apply examples/flights/flights-with-service.yaml.

import { readFileSync } from 'node:fs';
import { serveTransform } from '@etl-router/sdk';
import { parse } from 'csv-parse/sync';

interface Airport {
  readonly iata: string;
  readonly name: string;
  readonly city: string;
  readonly state: string;
}

const leftOut = ['ORD', 'BOS', 'STL'];
const table = readFileSync('node_modules/vega-datasets/data/airports.csv');
const rows = parse<Airport>(table, { columns: true });
const airports = new Map(
  rows.filter(({ iata }) => !leftOut.includes(iata)).map((row) => [row.iata, row]),
);

/** The fields that are added for one end of a flight; only the mark where the airport is not known. */
function describe(end: 'origin' | 'destination', iata: string): object {
  const airport = airports.get(iata);
  if (airport === undefined) return { [`${end}Known`]: false };
  const { name, city, state } = airport;
  return {
    [`${end}Name`]: name,
    [`${end}City`]: city,
    [`${end}State`]: state,
    [`${end}Known`]: true,
  };
}

const service = await serveTransform({
  name: 'airport-enrichment',
  deterministic: true,
  process: (record) => {
    const flight = record.json<{ readonly origin: string; readonly destination: string }>();
    return record.withJson({
      ...flight,
      ...describe('origin', flight.origin),
      ...describe('destination', flight.destination),
    });
  },
});
process.once('SIGTERM', () => void service.close());
process.once('SIGINT', () => void service.close());
