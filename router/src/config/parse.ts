// Turns a setting's text, or its YAML value, into a value. Each fault names where the text came from.

import type { Setting } from './settings.ts';

/** `host:port`, or undefined for `off`. */
export interface Address {
  readonly host: string;
  readonly port: number;
}

/** A member of the cluster as it was given. */
export interface Peer {
  /** Undefined until a handshake tells. */
  readonly nodeId: number | undefined;
  readonly address: Address;
}

export type SettingValue = number | boolean | string | Address | readonly Peer[] | undefined;

/** The value, or what is wrong with the text. */
export type Parsed =
  | { readonly value: SettingValue }
  /** `isSecret`: the text is not to be shown. */
  | { readonly fault: string; readonly isSecret?: true };

/** Parses the text of a flag or variable. `numberKeepsHost`: a bare port takes this host. */
export function parseSetting(setting: Setting, text: string, numberKeepsHost?: string): Parsed {
  const { type } = setting;
  switch (type.kind) {
    case 'integer':
      return parseInteger(text, type.min, type.max);
    case 'ratio':
      return parseRatio(text);
    case 'boolean':
      if (text === 'true' || text === 'false') return { value: text === 'true' };
      return { fault: 'needs true or false' };
    case 'choice':
      return type.of.includes(text)
        ? { value: text }
        : { fault: `needs one of ${type.of.join(', ')}` };
    case 'text':
      if (text === '' && type.emptyAllowed === true) return { value: undefined };
      return text.length >= 1 && text.length <= type.maxLength && !hasControls(text)
        ? { value: text }
        : { fault: `needs 1 to ${type.maxLength} printable characters` };
    case 'path':
      if (text === '' && type.emptyAllowed === true) return { value: undefined };
      return parsePath(text);
    case 'address':
      if (text === 'off') {
        return type.offAllowed ? { value: undefined } : { fault: 'can not be off' };
      }
      return parseAddress(
        /^\d+$/.test(text) && numberKeepsHost !== undefined ? `${numberKeepsHost}:${text}` : text,
      );
    case 'advertised':
      return text === '' ? { value: undefined } : parseAdvertised(text);
    case 'peers':
      return parsePeers(text);
  }
}

function parsePath(text: string): Parsed {
  if (text.includes('-----BEGIN'))
    return { fault: 'needs the path of a file, not what the file holds', isSecret: true };
  if (/\$[{(]/.test(text))
    return { fault: 'needs a path as it is: variables are not put in; use a flag or a variable' };
  return text.length >= 1 && text.length <= 4096 && !text.includes('\0')
    ? { value: text }
    : { fault: 'needs a path of 1 to 4096 characters' };
}

function parseInteger(text: string, min: number, max: number): Parsed {
  const value = /^(0|[1-9]\d{0,15})$/.test(text) ? Number(text) : Number.NaN;
  return value >= min && value <= max
    ? { value }
    : { fault: `needs a whole number from ${min} to ${max}` };
}

function parseRatio(text: string): Parsed {
  const value = /^(0(\.\d{1,6})?|1(\.0{1,6})?)$/.test(text) ? Number(text) : Number.NaN;
  return value > 0 && value <= 1
    ? { value }
    : { fault: 'needs a number above 0 and at most 1, such as 0.8' };
}

function hasControls(text: string): boolean {
  return /[\u0000-\u001f\u007f]/.test(text);
}

/** Parses `host:port` or `[v6]:port`. Port 0 asks the system for a free one. */
export function parseAddress(
  text: string,
): { readonly value: Address } | { readonly fault: string } {
  const match = /^(?:\[([0-9a-fA-F:.]{2,45})\]|([A-Za-z0-9._-]{1,253})):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535) {
    const way =
      /^[0-9a-fA-F:]+:[0-9a-fA-F:]*$/.test(text) && text.split(':').length > 2
        ? '; IPv6 needs brackets: [::1]:50051'
        : '';
    return { fault: `needs host:port with a port from 0 to 65535${way}` };
  }
  return { value: { host: (match[1] ?? match[2]) as string, port } };
}

/** An address for others: nobody can dial port 0 or all interfaces. */
export function parseAdvertised(text: string): Parsed {
  const parsed = parseAddress(text);
  if ('fault' in parsed) return parsed;
  const { host, port } = parsed.value;
  if (port === 0) return { fault: 'needs host:port with the port that others dial' };
  return isWildcard(host) ? { fault: 'needs a name or address that others can dial' } : parsed;
}

/** Whether a host stands for all interfaces of the machine. */
export function isWildcard(host: string): boolean {
  return /^(0\.0\.0\.0|[0:]+)$/.test(host);
}

/**
 * Whether nobody will ever be at an address, `host:port`: the name `invalid` and all below it are never given to anyone
 * (RFC 6761 §6.4). As a peer it keeps a member without data from founding a cluster.
 */
export function isNobody(address: string): boolean {
  return /(^|\.)invalid\.?:\d+$/i.test(address);
}

/** The text of an address, with brackets around IPv6. */
export function formatAddress(address: Address): string {
  return address.host.includes(':')
    ? `[${address.host}]:${address.port}`
    : `${address.host}:${address.port}`;
}

function parsePeers(text: string): Parsed {
  const parts = text === '' ? [] : text.split(',').map((part) => part.trim());
  if (parts.length > 8) return { fault: 'names more than 8 peers' };
  const peers: Peer[] = [];
  for (const part of parts) {
    const match = /^(?:(\d{1,10})@)?(.*)$/.exec(part) as RegExpExecArray;
    const address = parseAddress(match[2] as string);
    if ('fault' in address || address.value.port === 0) {
      return { fault: `${JSON.stringify(part)} is no host:port or id@host:port` };
    }
    const nodeId = match[1] === undefined ? undefined : Number(match[1]);
    if (nodeId === 0) return { fault: `${JSON.stringify(part)}: ids count from 1` };
    const same = peers.find(
      (peer) =>
        formatAddress(peer.address) === formatAddress(address.value) ||
        (nodeId !== undefined && peer.nodeId === nodeId),
    );
    if (same !== undefined) return { fault: `${JSON.stringify(part)} is named twice` };
    peers.push({ nodeId, address: address.value });
  }
  return { value: peers };
}
