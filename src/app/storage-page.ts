/** The storage page, given a model manager. */
import { loadCatalogue } from '../models/catalogue.ts';
import { definePart } from '../ui/define-part.ts';
import { TramontaneProgress } from '../ui/progress/progress.ts';
import { createManager } from './create-manager.ts';
import { TramontanePage } from './page/page.ts';
import { TramontaneStorage } from './storage/storage.ts';

definePart('tramontane-page', TramontanePage);
definePart('tramontane-progress', TramontaneProgress);
definePart('tramontane-storage', TramontaneStorage);

const page = document.querySelector('tramontane-storage');
if (page) {
  loadCatalogue(new URL('./models/models.json', location.href).href).then(
    (catalogue) => {
      page.catalogue = catalogue;
    },
    // It tells only where an interrupted download goes on; the import page says what is wrong with it.
    () => undefined,
  );
  const { manager, storage } = await createManager();
  page.storage = storage;
  page.manager = manager;
}
