/** A template that cannot be read or run here. */
export class JinjaError extends Error {
  override name = 'JinjaError';
}

/** What a template says itself, by `raise_exception`: it cannot express this conversation. */
export class JinjaRefusal extends JinjaError {
  override name = 'JinjaRefusal';
}
