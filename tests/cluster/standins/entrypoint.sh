#!/bin/sh
exec /usr/bin/rpk "$@"
