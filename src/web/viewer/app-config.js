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
  window.config = {
    name: 'khoanh',
    routerBasename: base + '/viewer/',
    extensions: [],
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
          thumbnailRendering: 'wadors',
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
