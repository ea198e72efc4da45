// The names of objects, namespaces and stages, as Kubernetes has them (RFC 1123), so that every name can become a
// resource, a DNS label or a file without escaping.

const label = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/;

/** True for at most 63 lower-case letters, digits and `-` that start and end with a letter or digit. */
export function isLabel(name: string): boolean {
  return label.test(name);
}

/** True for at most 253 characters of labels joined by dots. */
export function isSubdomain(name: string): boolean {
  return name.length <= 253 && name.split('.').every(isLabel);
}

/** What is wrong with a label, for people; undefined when nothing is. */
export function labelProblem(name: string): string | undefined {
  if (isLabel(name)) return undefined;
  return `${shown(name)} is not a name: at most 63 of a-z, 0-9 and -, a letter or digit first and last`;
}

/** What is wrong with a subdomain, for people; undefined when nothing is. */
export function subdomainProblem(name: string): string | undefined {
  if (isSubdomain(name)) return undefined;
  return `${shown(name)} is not a name: at most 253 of a-z, 0-9, - and ., each part a letter or digit first and last`;
}

/** The label nearest to any text, for names that we make; empty when nothing of it can stay. */
export function toLabel(text: string): string {
  const mapped = text.toLowerCase().replace(/[^a-z0-9]+/g, '-');
  return mapped.replace(/^-+/, '').slice(0, 63).replace(/-+$/, '');
}

function shown(name: string): string {
  return JSON.stringify(name.length > 80 ? `${name.slice(0, 80)}…` : name);
}
