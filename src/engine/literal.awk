# SPDX-License-Identifier: MIT
# literal.awk - a text as a C string, a line each
{
	gsub(/["\\]/, "\\\\&")
	print "\"" $0 "\\n\""
}
