import type { ModelSink } from '../../src/engine/import/import-model.ts';

/** Keeps what an import writes; refuses to be given a file twice. */
export class MemorySink implements ModelSink {
  readonly files = new Map<string, Uint8Array<ArrayBuffer>>();

  async writeShard({ name }: { name: string }, _sha256: string, bytes: Uint8Array): Promise<void> {
    this.#add(name, bytes.slice() as Uint8Array<ArrayBuffer>);
  }

  async complete(files: ReadonlyMap<string, string>): Promise<void> {
    for (const [name, text] of files) this.#add(name, new TextEncoder().encode(text));
  }

  json(name: string) {
    return JSON.parse(new TextDecoder().decode(this.files.get(name)));
  }

  #add(name: string, bytes: Uint8Array<ArrayBuffer>): void {
    if (this.files.has(name)) throw new Error(`${name} is written twice`);
    this.files.set(name, bytes);
  }
}
