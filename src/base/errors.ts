/**
 * Errors that a caller can act on. Every failure that crosses a room's border is a TramontaneError with a stable
 * `code`, a message that says what was found and what was expected, and a `nextStep` for the person at the page.
 * Cancellation is not an error of ours: an aborted call rejects with `signal.reason`.
 */

export type ErrorCode =
  // The device.
  | 'webgpu-unavailable'
  | 'adapter-limits'
  | 'feature-missing'
  | 'device-lost'
  | 'out-of-memory'
  | 'shader-invalid'
  // The model's files.
  | 'format-invalid'
  | 'format-unsupported'
  | 'architecture-unsupported'
  | 'tokenizer-invalid'
  | 'tokenizer-unsupported'
  | 'template-unsupported'
  | 'config-invalid'
  | 'download-failed'
  | 'shard-missing'
  | 'shard-truncated'
  | 'shard-altered'
  // A source to import.
  | 'address-invalid'
  | 'address-ambiguous'
  | 'range-unsupported'
  | 'source-changed'
  // Storage.
  | 'storage-quota'
  | 'storage-failed'
  | 'model-busy'
  // A request.
  | 'request-invalid'
  | 'schema-invalid'
  | 'context-exceeded'
  | 'model-not-loaded'
  | 'model-unknown'
  // Ourselves.
  | 'worker-crashed'
  | 'protocol-invalid'
  | 'library-invalid'
  | 'engine-failed';

/** Plain, structured-cloneable facts about a failure. */
export type ErrorData = Readonly<Record<string, string | number | boolean | null | readonly string[]>>;

export interface ErrorOptions {
  /** What the person should do now, as a sentence. */
  nextStep?: string;
  data?: ErrorData;
  cause?: unknown;
}

export class TramontaneError extends Error {
  override name = 'TramontaneError';
  readonly code: ErrorCode;
  readonly nextStep: string | null;
  readonly data: ErrorData;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.nextStep = options.nextStep ?? null;
    this.data = options.data ?? {};
  }
}

/** A file is not what it claims to be. `offset` is in bytes from the start of the file, `field` names what was read. */
export class FormatError extends TramontaneError {
  override name = 'FormatError';

  constructor(
    message: string,
    at: { field: string; offset?: number },
    options: ErrorOptions & { code?: ErrorCode } = {},
  ) {
    super(options.code ?? 'format-invalid', message, {
      ...options,
      data: { ...options.data, field: at.field, offset: at.offset ?? null },
    });
  }
}

/** The form in which an error crosses a worker's border. */
export interface WireError {
  name: string;
  /** Null for an error that is not ours, and for an abort (`name` tells). */
  code: ErrorCode | null;
  message: string;
  stack: string | null;
  nextStep: string | null;
  data: ErrorData;
  cause: WireError | null;
}

/** True for errors of this library, also when they come from another realm or another copy of the module. */
export function isTramontaneError(error: unknown): error is TramontaneError {
  return (
    error instanceof Error && typeof (error as { code?: unknown }).code === 'string' && 'nextStep' in error
  );
}

export function isAbortError(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError';
}

/** What was thrown, as an Error: anything may be thrown. */
export function toError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

const MAX_CAUSES = 4;

export function toWireError(error: unknown, depth = 0): WireError {
  const ours = isTramontaneError(error) ? error : null;
  const cause =
    error instanceof Error && error.cause !== undefined && depth < MAX_CAUSES ? error.cause : undefined;
  return {
    name: error instanceof Error ? error.name : 'Error',
    code: ours?.code ?? null,
    message: errorMessage(error),
    stack: error instanceof Error ? (error.stack ?? null) : null,
    nextStep: ours?.nextStep ?? null,
    data: ours?.data ?? {},
    cause: cause === undefined ? null : toWireError(cause, depth + 1),
  };
}

/** Restores what {@link toWireError} wrote: our errors by their code, aborts as DOMException, others as Error. */
export function fromWireError(wire: WireError): Error {
  const cause = wire.cause ? fromWireError(wire.cause) : undefined;
  if (wire.code !== null) {
    const error = new TramontaneError(wire.code, wire.message, {
      data: wire.data,
      ...(wire.nextStep === null ? {} : { nextStep: wire.nextStep }),
      ...(cause === undefined ? {} : { cause }),
    });
    error.name = wire.name;
    if (wire.stack !== null) error.stack = wire.stack;
    return error;
  }
  if (wire.name === 'AbortError') return new DOMException(wire.message, 'AbortError');
  const error = new Error(wire.message, cause === undefined ? undefined : { cause });
  error.name = wire.name;
  if (wire.stack !== null) error.stack = wire.stack;
  return error;
}
