// The order counts: whoever listens is there before htmx makes the first connection.
import "./dashboard.js";
import "./vendor/htmx.esm.min.js";
import "./vendor/hx-sse.min.js";
