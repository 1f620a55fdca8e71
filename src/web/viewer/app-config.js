// How the viewer finds this archive. The server fills in the path in front of its own paths.
(function () {
  const base = '{{base}}';
  const root = window.location.origin + base + '/dicom-web';
  // Vietnamese unless the browser or the reader prefers another language (?lng=en-US, or the viewer's preferences).
  if (!localStorage.getItem('i18nextLng')) {
    const vietnamese = (navigator.languages || [navigator.language]).some(one => /^vi\b/i.test(one));
    localStorage.setItem('i18nextLng', vietnamese ? 'vi' : 'en-US');
  }
  // No guided tour over the first image a doctor opens.
  if (!localStorage.getItem('shownTours')) localStorage.setItem('shownTours', '["basicViewerTour"]');

  // On a telephone held upright the viewer lays tools, its name and the patient over each other and beyond both edges: there
  // they stand one beside the other, the name left out, and what does not fit is reached by sliding.
  const narrow = document.createElement('style');
  const line = 'div:has(> div > [data-cy="return-to-work-list"])';
  narrow.textContent = `@media (max-width: 700px) {
    ${line} { display: flex; align-items: center; overflow-x: auto; overflow-y: hidden; scrollbar-width: none; }
    ${line} > div { position: static; transform: none; flex: none; }
    [data-cy="return-to-work-list"] > div { display: none; }
  }`;
  document.head.appendChild(narrow);

  // A large X-ray is shown coarse after its first 128 KiB and sharp when the rest has come: the archive makes HTJ2K of it,
  // resolution by resolution, and the viewer reads ranges of that. Only grey frames that lie uncompressed or as HTJ2K are
  // asked for so, since making it of another coding takes the archive longer than sending that does; and only over links
  // slow enough for it to matter.
  const LARGE = 4 << 20;
  const FIRST = 128 << 10;
  const FAST = 40e6;
  const STEPWISE = ['1.2.840.10008.1.2', '1.2.840.10008.1.2.1', '1.2.840.10008.1.2.2', '1.2.840.10008.1.2.4.201', '1.2.840.10008.1.2.4.202'];
  const urlArguments = 'accept=image/jphc;transfer-syntax=1.2.840.10008.1.2.4.202';
  const whole = { retrieveOptions: { single: { streaming: true, decodeLevel: 1 } } };
  const inSteps = {
    stages: [{ id: 'coarse', retrieveType: 'coarse' }, { id: 'sharp', retrieveType: 'sharp' }],
    retrieveOptions: { coarse: { rangeIndex: 0, chunkSize: FIRST, urlArguments }, sharp: { rangeIndex: -1, urlArguments } },
  };

  /** Bytes a second of the best answer so far that is large enough to tell; nothing where all came from the cache. */
  function speed() {
    const said = performance.getEntriesByType('resource').filter(one => one.transferSize > 256 << 10);
    return Math.max(0, ...said.map(one => one.transferSize * 1000 / Math.max(1, one.responseEnd - one.requestStart)));
  }

  function isLarge(imageId) {
    const { metaData } = window.cornerstone;
    const pixels = metaData.get('imagePixelModule', imageId) || {};
    const stored = [(metaData.get('instance', imageId) || {}).AvailableTransferSyntaxUID].flat()[0];
    const bytes = pixels.rows * pixels.columns * pixels.bitsAllocated / 8;
    return pixels.samplesPerPixel === 1 && pixels.bitsAllocated <= 16 && bytes > LARGE && STEPWISE.includes(stored);
  }

  // An extension, since the options of a data source are copied as JSON and hold no functions.
  const steps = {
    id: 'khoanh-steps',
    onModeEnter() {
      const { ProgressiveRetrieveImages: retrieve, utilities } = window.cornerstone;
      const loader = options => retrieve.createProgressive(options);
      utilities.imageRetrieveMetadataProvider.add('stack', {
        ...whole,
        create: () => ({
          loadImages: (imageIds, listener) => loader(imageIds.some(isLarge) && speed() < FAST ? inSteps : { ...retrieve.singleRetrieveStages, ...whole })
            .loadImages(imageIds, listener),
        }),
      });
    },
  };

  window.config = {
    name: 'khoanh',
    routerBasename: base + '/viewer/',
    extensions: [steps],
    modes: [],
    customizationService: {},
    showStudyList: true,
    maxNumberOfWebWorkers: Math.max(1, Math.min(4, (navigator.hardwareConcurrency || 2) - 1)),
    showWarningMessageForCrossOrigin: false,
    showCPUFallbackMessage: false,
    showLoadingIndicator: true,
    experimentalStudyBrowserSort: false,
    strictZSpacingForVolumeViewport: true,
    groupEnabledModesFirst: true,
    allowMultiSelectExport: false,
    investigationalUseDialog: { option: 'never' },
    maxNumRequests: { interaction: 100, thumbnail: 5, prefetch: 25 },
    showErrorDetails: 'production',
    defaultDataSourceName: 'khoanh',
    dataSources: [
      {
        namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
        sourceName: 'khoanh',
        configuration: {
          friendlyName: 'Kho ảnh',
          name: 'khoanh',
          wadoUriRoot: root + '/wado',
          qidoRoot: root,
          wadoRoot: root,
          qidoSupportsIncludeField: true,
          imageRendering: 'wadors',
          thumbnailRendering: 'thumbnailDirect',
          enableStudyLazyLoad: true,
          supportsFuzzyMatching: true,
          supportsWildcard: true,
          dicomUploadEnabled: false,
          singlepart: 'bulkdata,video,pdf',
          bulkDataURI: { enabled: true },
          omitQuotationForMultipartRequest: true,
        },
      },
    ],
  };
})();
