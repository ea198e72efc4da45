// What this build is. The bundler replaces the two constants; from source they are read at run time.

declare const ETL_VERSION: string | undefined;
declare const ETL_COMMIT: string | undefined;

/** Version of the product, semver. */
export const productVersion: string = typeof ETL_VERSION === 'string' ? ETL_VERSION : '0.1.0-dev';

/** Commit it was built from, or `source`. */
export const productCommit: string = typeof ETL_COMMIT === 'string' ? ETL_COMMIT : 'source';
