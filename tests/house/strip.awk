# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Prints C sources as FILE:LINE:CODE, without comments and without what stands in strings, so
# that a rule sees only what the compiler would. Lines with #include stay whole.

FNR == 1 { in_comment = 0 }

!in_comment && /^[ \t]*#[ \t]*include/ {
  print FILENAME ":" FNR ":" $0
  next
}

{
  code = ""
  quote = ""
  for (i = 1; i <= length ($0); i++)
    {
      c = substr ($0, i, 1)
      pair = substr ($0, i, 2)
      if (in_comment)
        {
          if (pair == "*/")
            {
              in_comment = 0
              i++
            }
        }
      else if (quote != "")
        {
          if (c == "\\")
            i++
          else if (c == quote)
            {
              code = code c
              quote = ""
            }
        }
      else if (pair == "/*")
        {
          in_comment = 1
          i++
        }
      else if (pair == "//")
        break
      else
        {
          if (c == "\"" || c == "'")
            quote = c
          code = code c
        }
    }
  print FILENAME ":" FNR ":" code
}
