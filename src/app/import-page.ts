/** The import page, given a model manager and the site's catalogue. */
import { toError } from '../base/errors.ts';
import { loadCatalogue } from '../models/catalogue.ts';
import { TramontaneContextSlider } from '../ui/context-slider/context-slider.ts';
import { definePart } from '../ui/define-part.ts';
import { TramontaneProgress } from '../ui/progress/progress.ts';
import { createManager } from './create-manager.ts';
import { TramontaneImport } from './import/import.ts';
import { TramontanePage } from './page/page.ts';

definePart('tramontane-page', TramontanePage);
definePart('tramontane-context-slider', TramontaneContextSlider);
definePart('tramontane-progress', TramontaneProgress);
definePart('tramontane-import', TramontaneImport);

const page = document.querySelector('tramontane-import');
if (page) {
  const { searchParams } = new URL(location.href);
  page.wanted = searchParams.get('model');
  page.resume = searchParams.get('resume');
  loadCatalogue(new URL('./models/models.json', location.href).href).then(
    (catalogue) => {
      page.catalogue = catalogue;
    },
    (error: unknown) => {
      page.catalogueError = toError(error);
    },
  );
  const { manager, storage } = await createManager();
  page.storage = storage;
  page.manager = manager;
}
