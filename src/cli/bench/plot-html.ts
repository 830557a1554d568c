import { escapeMarkup } from './plot-svg.ts';

/** The chart as a page: it grows with the window and loads nothing from anywhere. */
export const plotHtml = (svg: string, title: string): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escapeMarkup(title)}</title>
<style>
body { margin: 0; background: #f6f8fa; font-family: system-ui, -apple-system, 'Segoe UI', sans-serif; }
main { max-width: 1400px; margin: 24px auto; padding: 0 16px; }
figure { margin: 0; background: #fff; border: 1px solid #d1d9e0; border-radius: 8px; padding: 8px; }
svg { width: 100%; height: auto; display: block; }
figcaption { color: #59636e; font-size: 13px; padding: 4px 16px 8px; }
</style>
</head>
<body>
<main>
<figure>
${svg}
<figcaption>Point at a band to read its test and model.</figcaption>
</figure>
</main>
</body>
</html>
`;
