// Start Swagger UI with the OpenAPI document. Requests go to the address of this page: behind a proxy that ends TLS, the
// service may know another one.

"use strict";

async function start() {
  const answer = await fetch("openapi.json");
  if (!answer.ok) throw new Error(`openapi.json cannot be read: ${answer.status} ${answer.statusText}`);
  const spec = await answer.json();
  spec.servers = [{ url: new URL(".", location.href).href.replace(/\/$/, "") }];
  window.ui = SwaggerUIBundle({
    spec,
    dom_id: "#swagger-ui",
    validatorUrl: null, // else a page that is not on localhost sends the address of its document to swagger.io
    displayRequestDuration: true,
  });
}

start().catch((error) => {
  document.getElementById("swagger-ui").textContent = error.message;
});
