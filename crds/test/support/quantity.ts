// Quantities of Kubernetes, exact to nano, as the rules compare them.

const scales: { readonly [suffix: string]: bigint } = {
  m: 10n ** 6n,
  '': 10n ** 9n,
  k: 10n ** 12n,
  M: 10n ** 15n,
  G: 10n ** 18n,
  T: 10n ** 21n,
  P: 10n ** 24n,
  E: 10n ** 27n,
  Ki: 2n ** 10n * 10n ** 9n,
  Mi: 2n ** 20n * 10n ** 9n,
  Gi: 2n ** 30n * 10n ** 9n,
  Ti: 2n ** 40n * 10n ** 9n,
  Pi: 2n ** 50n * 10n ** 9n,
  Ei: 2n ** 60n * 10n ** 9n,
};

export class Quantity {
  readonly nanos: bigint;

  constructor(nanos: bigint) {
    this.nanos = nanos;
  }

  /** Throws for a text that Kubernetes would not read. */
  static parse(text: string): Quantity {
    const match = /^(\d*)(?:\.(\d*))?(?:([KMGTPE]i|[mkMGTPE])|[eE](\d{1,2}))?$/.exec(text);
    if (match === null) throw new Error(`${JSON.stringify(text)} is no quantity`);
    const [, digits = '', fraction = '', suffix = '', exponent] = match;
    const scale =
      exponent === undefined ? (scales[suffix] as bigint) : 10n ** (BigInt(exponent) + 9n);
    return new Quantity((BigInt(`${digits}${fraction}`) * scale) / 10n ** BigInt(fraction.length));
  }

  compareTo(other: Quantity): bigint {
    return this.nanos < other.nanos ? -1n : this.nanos > other.nanos ? 1n : 0n;
  }
}
