/** The files that a person drops on a page or picks: folders are looked into, however they come. */

import type { ReactiveController, ReactiveControllerHost } from 'lit';
import { errorMessage, TramontaneError } from '../../base/errors.ts';

/** A folder with more files than this is not a model's. */
const MAX_FILES = 4096;

export interface OfferedFile {
  file: File;
  /** From the folder that was chosen down: `folder/name`. */
  path: string;
}

export interface FileDropCallbacks {
  /** Whether files are welcome now. */
  takesFiles(): boolean;
  onFiles(files: readonly OfferedFile[]): void;
  /** Called where a folder or file cannot be read. */
  onError(error: Error): void;
}

/** Files dropped anywhere on the page. Also keeps the browser from leaving the page for a file that is not welcome. */
export class FileDrop implements ReactiveController {
  readonly #host: ReactiveControllerHost;
  readonly #callbacks: FileDropCallbacks;
  /** A drag of files is above the page. */
  isOver = false;

  constructor(host: ReactiveControllerHost, callbacks: FileDropCallbacks) {
    this.#host = host;
    this.#callbacks = callbacks;
    host.addController(this);
  }

  hostConnected(): void {
    addEventListener('dragover', this.#onDragOver);
    addEventListener('dragleave', this.#onDragLeave);
    addEventListener('drop', this.#onDrop);
  }

  hostDisconnected(): void {
    removeEventListener('dragover', this.#onDragOver);
    removeEventListener('dragleave', this.#onDragLeave);
    removeEventListener('drop', this.#onDrop);
  }

  readonly #onDragOver = (event: DragEvent): void => {
    if (!carriesFiles(event.dataTransfer)) return;
    event.preventDefault();
    const isWelcome = this.#callbacks.takesFiles();
    if (event.dataTransfer) event.dataTransfer.dropEffect = isWelcome ? 'copy' : 'none';
    this.#set(isWelcome);
  };

  readonly #onDragLeave = (event: DragEvent): void => {
    if (event.relatedTarget === null) this.#set(false);
  };

  readonly #onDrop = (event: DragEvent): void => {
    if (!carriesFiles(event.dataTransfer)) return;
    event.preventDefault();
    this.#set(false);
    if (!this.#callbacks.takesFiles() || event.dataTransfer === null) return;
    droppedFiles(event.dataTransfer).then(
      (files) => this.#callbacks.onFiles(files),
      (error: unknown) =>
        this.#callbacks.onError(
          new TramontaneError('source-changed', `What was dropped cannot be read: ${errorMessage(error)}`, {
            nextStep: 'Look whether it is still there, then drop it again, or choose it by the button.',
            cause: error,
          }),
        ),
    );
  };

  #set(isOver: boolean): void {
    if (this.isOver === isOver) return;
    this.isOver = isOver;
    this.#host.requestUpdate();
  }
}

/** True for a drag that carries files, and not a piece of text or a picture of the page. */
function carriesFiles(transfer: DataTransfer | null): boolean {
  return transfer?.types.includes('Files') ?? false;
}

/** Call it within the drop event: afterwards the transfer is empty. */
async function droppedFiles(transfer: DataTransfer): Promise<OfferedFile[]> {
  const items = Array.from(transfer.items)
    .filter(({ kind }) => kind === 'file')
    .map((item) => ({ entry: item.webkitGetAsEntry(), file: item.getAsFile() }));
  const found: OfferedFile[] = [];
  for (const { entry, file } of items) {
    if (entry?.isDirectory) await readFolder(entry as FileSystemDirectoryEntry, found);
    else if (file) found.push({ file, path: file.name });
  }
  return found;
}

async function readFolder(folder: FileSystemDirectoryEntry, found: OfferedFile[]): Promise<void> {
  const reader = folder.createReader();
  for (;;) {
    // A reader gives its entries in portions, and an empty one at the end.
    const entries = await new Promise<FileSystemEntry[]>((resolve, reject) =>
      reader.readEntries(resolve, reject),
    );
    if (entries.length === 0) return;
    for (const entry of entries) {
      if (found.length >= MAX_FILES) return;
      if (entry.isDirectory) await readFolder(entry as FileSystemDirectoryEntry, found);
      else {
        const file = await new Promise<File>((resolve, reject) =>
          (entry as FileSystemFileEntry).file(resolve, reject),
        );
        // Dropped files do not tell where they lie: their webkitRelativePath is empty.
        found.push({ file, path: entry.fullPath.replace(/^\//, '') });
      }
    }
  }
}

/** Those of a file input, which may have taken a folder. */
export function pickedFiles(input: HTMLInputElement): OfferedFile[] {
  return Array.from(input.files ?? [], (file) => ({ file, path: file.webkitRelativePath || file.name }));
}
