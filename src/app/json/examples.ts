/** Schemas to start from, each with a prompt that suits it. */
export interface JsonExample {
  name: string;
  prompt: string;
  schema: Record<string, unknown>;
}

export const examples: readonly JsonExample[] = [
  {
    name: 'A recipe',
    prompt: 'Write a simple recipe for an omelette.',
    schema: {
      type: 'object',
      properties: {
        title: { type: 'string' },
        minutes: { type: 'integer', minimum: 1, maximum: 120 },
        ingredients: {
          type: 'array',
          minItems: 2,
          maxItems: 6,
          items: {
            type: 'object',
            properties: { name: { type: 'string' }, amount: { type: 'string' } },
            required: ['name', 'amount'],
            additionalProperties: false,
          },
        },
      },
      required: ['title', 'minutes', 'ingredients'],
      additionalProperties: false,
    },
  },
  {
    name: 'Mood of a text',
    prompt:
      'The wind kept me awake all night, but what a morning: the sky is clean and I can see the islands!',
    schema: {
      type: 'object',
      properties: {
        mood: { enum: ['positive', 'neutral', 'negative', 'mixed'] },
        reason: { type: 'string', maxLength: 200 },
      },
      required: ['mood', 'reason'],
      additionalProperties: false,
    },
  },
  {
    name: 'Names and places',
    prompt: 'Ada Lovelace met Charles Babbage in London in 1833, and Mary Somerville introduced them.',
    schema: {
      type: 'object',
      properties: {
        people: { type: 'array', items: { type: 'string' }, maxItems: 8 },
        places: { type: 'array', items: { type: 'string' }, maxItems: 8 },
        year: { type: ['integer', 'null'] },
      },
      required: ['people', 'places', 'year'],
      additionalProperties: false,
    },
  },
];
