//! The page at `/`: what is where, for people, in Vietnamese and English.

/// The page.
pub(crate) const PAGE: &str = r#"<!doctype html>
<html lang="vi">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Kho ảnh · Khoanh</title>
<style>
body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;color:#1b2733}
h1{font-size:1.5rem}dt{margin-top:.8rem}dd{margin:0;color:#44525f}code{background:#eef2f5;padding:.1rem .3rem;border-radius:.2rem}
</style>
</head>
<body>
<h1>Kho ảnh <small>Khoanh, the image archive</small></h1>
<p>Máy chủ lưu trữ ảnh y khoa DICOM đang chạy.<br><span lang="en">The DICOM image archive is running.</span></p>
<dl>
<dt><code>/dicom-web</code></dt>
<dd>DICOMweb: tìm (QIDO-RS), tải (WADO-RS), gửi (STOW-RS). <span lang="en">Find, retrieve, store; set this as the root in your viewer.</span></dd>
<dt><code>/facilities/{mã cơ sở}/dicom-web</code></dt>
<dd>Riêng từng cơ sở khám chữa bệnh. <span lang="en">The same for one facility only.</span></dd>
<dt><a href="/health/ready"><code>/health/ready</code></a></dt>
<dd>Sẵn sàng nhận ảnh hay chưa, và vì sao. <span lang="en">Whether images can be stored now, and why not.</span></dd>
<dt><a href="/metrics"><code>/metrics</code></a></dt>
<dd>Số liệu vận hành. <span lang="en">Figures for Prometheus.</span></dd>
<dt><a href="/api/openapi.json"><code>/api/openapi.json</code></a></dt>
<dd>Mô tả mọi đường dẫn. <span lang="en">Description of every path.</span></dd>
</dl>
</body>
</html>
"#;

/// Allows the page's own style and nothing else.
pub(crate) const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";
