// A transform service that tests start and kill: it marks every record with the number it was given. Run as
// `node mark-service.ts ADDRESS MARK`.

import { silentLogger } from '@etl-router/core';
import { serveTransform } from '@etl-router/sdk';

const [address = '', mark = ''] = process.argv.slice(2);

await serveTransform({
  name: 'mark',
  address,
  logger: silentLogger,
  deterministic: true,
  process: (record) => record.withJson({ ...record.json<object>(), mark }),
});
