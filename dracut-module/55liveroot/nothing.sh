#!/bin/sh
# Stands where the generators of dmsquash-live and livenet would.
