/** What benchmark reports are held to: the schemas that docs/ publishes. */
import { type Schema, Validator } from '@cfworker/json-schema';
import comparisonSchema from '../../docs/bench-comparison.schema.json' with { type: 'json' };
import reportSchema from '../../docs/bench-report.schema.json' with { type: 'json' };

const SCHEMAS = { report: reportSchema, comparison: comparisonSchema } as const;

/** @param value as JSON has it. @returns where it contradicts the schema, a line for each fault */
export function findSchemaFaults(kind: keyof typeof SCHEMAS, value: unknown): string[] {
  const validator = new Validator(SCHEMAS[kind] as Schema, '2020-12', false);
  // The comparison's refers to it.
  if (kind !== 'report') validator.addSchema(reportSchema as Schema);
  const { errors } = validator.validate(value);
  return errors.map(({ instanceLocation, error }) => `${instanceLocation}: ${error}`);
}
