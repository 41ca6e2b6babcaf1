#!/bin/sh
# Stands where dmsquash-live's generator would.
