# SPDX-License-Identifier: GPL-2.0-or-later
# olddefconfig KCONFIG CONFIG: keeps what is defined and whose one dependency is met; what has
# no prompt takes its default.
awk '
	/^CONFIG_/ && FILENAME != ARGV[1] { split($0, part, "="); wanted[part[1]] = part[2] }
	/^config / { symbol = "CONFIG_" $2; order[++count] = symbol }
	/^\tbool "/ { prompt[symbol] = 1 }
	/^\tdepends on / { depends[symbol] = "CONFIG_" $3 }
	/^\tdefault / { fallback[symbol] = $2 }
	END {
		for (i = 1; i <= count; i++) {
			symbol = order[i]
			value = prompt[symbol] && (symbol in wanted) ? wanted[symbol] : fallback[symbol]
			if (depends[symbol] && final[depends[symbol]] != "y")
				value = ""
			final[symbol] = value
			if (value == "")
				print "# " symbol " is not set"
			else
				print symbol "=" value
		}
	}
' "$1" "$2" > "$2.new" && mv "$2.new" "$2"
