// Types of the contract `nephron:plugin@0.1.0` as componentize-qjs maps it, and of `nephron.js`.

/** An `option` of the contract. */
export type Maybe<T> = T | null;

/** Whole numbers of 64 bits are numbers: exact up to 2^53. */
export interface Instant {
  seconds: number;
  nanoseconds: number;
}

export type Value =
  | { tag: 'text'; val: string }
  | { tag: 'number'; val: number }
  | { tag: 'boolean'; val: boolean }
  | { tag: 'texts'; val: string[] }
  | { tag: 'json'; val: string };

export interface Attribute {
  name: string;
  value: Value;
}

export interface Caller {
  id: string;
  roles: string[];
  attributes: Attribute[];
}

export type Sensitivity = 'public' | 'internal' | 'pii' | 'phi';

export interface RequestInfo {
  id: string;
  tenant: string;
  receivedAt: Instant;
  caller: Caller;
  purpose: string;
  sensitivity: Sensitivity;
  attributes: Attribute[];
}

export interface BlobRef {
  mediaType: string;
  length: number;
  sha256: string;
}

export type Part =
  | { tag: 'text'; val: string }
  | { tag: 'json'; val: string }
  | { tag: 'blob'; val: BlobRef };

export interface Message {
  role: string;
  name: Maybe<string>;
  parts: Part[];
}

export interface Span {
  message: number;
  part: number;
  /** Bytes of UTF-8: see `places`. */
  start: number;
  end: number;
  kind: string;
  confidence: number;
  rule: Maybe<string>;
}

/** Why a plugin could not answer: what it throws. No case may carry text of the request. */
export type PluginError =
  | { tag: 'invalid-input'; val: string }
  | { tag: 'unsupported'; val: string }
  | { tag: 'limit-exceeded'; val: string }
  | { tag: 'unavailable'; val: string }
  | { tag: 'internal'; val: string }
  | { tag: 'other'; val: { code: string; detail: Maybe<string>; retryable: boolean } };

export interface Descriptor {
  name: string;
  version: string;
  /** JSON Schema of the settings. */
  settingsSchema: Maybe<string>;
}

export interface Problem {
  key: Maybe<string>;
  message: string;
}

/** Every plugin exports it as `plugin`. */
export interface Plugin {
  describe(): Descriptor;
  /** Settings as JSON. Throws `Problem[]`. */
  configure(settings: string): void;
}

export type Effect = 'permit' | 'deny' | 'not-applicable' | 'indeterminate';

export interface Reason {
  code: string;
  text: Maybe<string>;
  policy: Maybe<string>;
}

export interface Obligation {
  id: string;
  arguments: Attribute[];
}

export interface Decision {
  effect: Effect;
  reasons: Reason[];
  obligations: Obligation[];
}

export interface Query {
  info: RequestInfo;
  point: string;
  action: string;
  target: string;
  facts: Attribute[];
}

/** World `access-policy`: exported as `decider`. Throws `PluginError`. */
export interface Decider {
  decide(query: Query): Decision;
}

/** World `deidentifier`: exported as `detector`. Throws `PluginError`. */
export interface Detector {
  detect(info: RequestInfo, messages: Message[]): Span[];
}

/** Why a key was not used. */
export type KeyError =
  | { tag: 'not-permitted' }
  | { tag: 'expired' }
  | { tag: 'destroyed' }
  | { tag: 'budget-exhausted' }
  | { tag: 'authentication-failed' }
  | { tag: 'not-found' }
  | { tag: 'unavailable'; val: string }
  | { tag: 'other'; val: string };

/**
 * A grant to use one key, lent for one call, as often as is needed. Its methods throw an `Error` whose `payload` is a `KeyError`.
 * Nothing gives it back: what stands around the plugin does when the call ends.
 */
export interface Key {
  info(): { id: string; version: number; operations: Record<string, boolean>; remainingUses: Maybe<number> };
  seal(plaintext: Uint8Array, context: string): Uint8Array;
  open(sealed: Uint8Array, context: string): Uint8Array;
  tokenize(values: string[], kind: string): string[];
  detokenize(tokens: string[], kind: string): string[];
  mac(data: Uint8Array): Uint8Array;
}

export interface Outcome {
  messages: Message[];
  replaced: number;
  residualRisk: Maybe<number>;
}

/** World `keyed-deidentifier`: exported as `transformer`, beside a `detector`. Throws `PluginError`. */
export interface Transformer {
  deidentify(info: RequestInfo, messages: Message[], found: Span[], key: Key): Outcome;
  reidentify(info: RequestInfo, messages: Message[], key: Key): Outcome;
}

/** One thing that is known of somebody. */
export interface Fact {
  kind: string;
  /** `patient`, `relative`, `staff` or `encounter`. */
  of: string;
  value: string;
}

export interface HttpRequest {
  method: string;
  path: string;
  headers: [string, string][];
  body: Uint8Array;
  /** Name of a credential that the host attaches. */
  credential: Maybe<string>;
}

export interface ChatCall {
  model: string;
  messages: Message[];
  maxTokens: Maybe<number>;
  temperature: Maybe<number>;
  stop: string[];
  wantStream: boolean;
  options: Attribute[];
}

export type Event =
  | { tag: 'text'; val: string }
  | { tag: 'tool-call'; val: { index: number; id: Maybe<string>; name: Maybe<string>; arguments: string } }
  | { tag: 'stopped'; val: string }
  | { tag: 'used'; val: { inputTokens: Maybe<number>; outputTokens: Maybe<number> } }
  | { tag: 'model'; val: string }
  | { tag: 'other'; val: Attribute };

export type Plan = { tag: 'call'; val: HttpRequest } | { tag: 'answer'; val: Event[] };

/** Decodes one response; chunks are cut anywhere. Throws `PluginError`. */
export interface DecoderInstance {
  push(chunk: Uint8Array): Event[];
}

export interface DecoderClass<D extends DecoderInstance = DecoderInstance> {
  new (status: number, headers: [string, string][]): D;
  finish(decoder: D): Event[];
}

/** World `llm-connector`: exported as `connector`. Throws `PluginError`. */
export interface Connector<D extends DecoderInstance = DecoderInstance> {
  encode(info: RequestInfo, call: ChatCall): Plan;
  Decoder: DecoderClass<D>;
}

/** An entry of the log. */
export interface Entry {
  sequence: number;
  at: Instant;
  /** Canonical JSON, exactly the text that was hashed. */
  header: string;
  previousHash: Uint8Array;
  hash: Uint8Array;
}

export interface Batch {
  tenant: string;
  log: string;
  first: number;
  entries: Entry[];
  checkpoint: Maybe<string>;
}

/** A request, or bytes for a file, a pipe or a stream. */
export type Delivery = { tag: 'http'; val: HttpRequest } | { tag: 'bytes'; val: Uint8Array };

export type Verdict = { tag: 'delivered' } | { tag: 'retry-after-seconds'; val: number } | { tag: 'rejected'; val: string };

/** World `audit-exporter`: exported as `exporter`. `encode` throws `PluginError`. */
export interface Exporter {
  encode(batch: Batch): Delivery;
  judge(status: number, headers: [string, string][], body: Uint8Array): Verdict;
}

export function invalid(message: string): PluginError;

export class Settings {
  problems: Problem[];
  constructor(text: string);
  problem(key: Maybe<string>, message: string): void;
  take<T>(key: string, otherwise: T, fits: (value: unknown) => boolean, form: string): T;
  done(): void;
}

export function isObject(value: unknown): value is Record<string, unknown>;
export function isTexts(value: unknown): value is string[];
export function utf8Length(text: string): number;
export function places(pattern: RegExp, text: string, group?: number): Generator<{ start: number; end: number }>;
export function rewritten(text: string, spans: Span[], by: (value: string, span: Span) => string): string;
export function withoutKnown(messages: Message[]): { messages: Message[]; facts: Fact[] };
export function encodeUtf8(text: string): Uint8Array;
export function decodeUtf8(bytes: Uint8Array): string | null;
export function hex(bytes: Uint8Array): string;
export function fault(entry: Entry, message: string): PluginError;
export function hash(entry: Entry, bytes?: Uint8Array): string;
export function dateTime(entry: Entry): string;
export function judge(status: number, headers: [string, string][]): Verdict;
export function retryAfter(headers: [string, string][]): number;
