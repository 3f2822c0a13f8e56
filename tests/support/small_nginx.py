"""A small nginx.conf with each of the reloader's markers, and the Nginx that the tests run it with."""

from pathlib import Path

import pytest

from tierup.local.toolchain import ToolMissing, tool

# What Nginx 1.22 cannot do itself: the hash of a key.
SCRIPT = """import crypto from 'crypto';
const key = (r) => (r.headersIn.Authorization || '').replace('Bearer ', '');
export default {digest: (r) => crypto.createHash('sha256').update(key(r)).digest('hex')};
"""
TEMPLATE = """
load_module %(module)s;
worker_processes 2;
pid %(folder)s/nginx.pid;
error_log stderr warn;
events { worker_connections 512; }
http {
    access_log off;
    client_body_temp_path %(folder)s/body;
    proxy_temp_path %(folder)s/proxy;
    fastcgi_temp_path %(folder)s/fastcgi;
    uwsgi_temp_path %(folder)s/uwsgi;
    scgi_temp_path %(folder)s/scgi;
    js_import main from %(folder)s/keys.js;
    js_set $digest main.digest;
    map_hash_bucket_size 128;  # a SHA-256 in hexadecimal does not fit the default
    map $digest $key_name {
        default "";
        @KEYS@
    }
    limit_conn_zone $server_port zone=in_flight:1m;
    limit_conn_zone $http_x_class zone=in_class:1m;
    limit_conn_status 429;
    limit_conn_log_level info;
    upstream tiny {
        zone tiny 64k;
        least_conn;
        @SERVERS:tiny@
    }
    server {
        listen 127.0.0.1:%(port)s;
        location = /healthz { return 200; }
        location / {
            if ($key_name = "") { return 401; }
            limit_conn in_flight @LIMIT:tiny@;
            limit_conn in_class @LIMIT:tiny:longform@;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_connect_timeout 3s;
            proxy_read_timeout 120s;
            proxy_next_upstream error timeout non_idempotent;
            proxy_pass http://tiny;
        }
    }
}
"""


def nginx_command() -> list[str]:
    """The toolchain's Nginx; skips with a message if it is missing."""
    return [str(_tool("nginx")), "-e", "stderr"]


def njs_module() -> Path:
    """Its njs; skips with a message if it is missing."""
    return _tool("ngx_http_js_module.so")


def find_nginx() -> None:
    """Skip the test if Nginx or njs is missing."""
    nginx_command()
    njs_module()


def _tool(name: str) -> Path:
    try:
        return tool(name)
    except ToolMissing as missing:
        pytest.skip(f"NOT PROVEN, there is no nginx with njs: run `make toolchain` ({missing})")
