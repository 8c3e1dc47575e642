-- token_bucket, a charge made elsewhere: the twin of merging.py's. The mark: when the bucket is full after it (us, N-ths).
rules.token_bucket.merge = function(p, key, mark, mark_rest)
  local whole, rest = mark - p.now, mark_rest
  if whole < 0 then return end
  if whole > p[8] or (whole == p[8] and rest > p[9]) then whole, rest = p[8], p[9] end
  if whole == 0 and rest == 0 then return end
  p.whole, p.rest = p.whole + whole, p.rest + rest
  if p.rest >= p[6] then p.whole, p.rest = p.whole + 1, p.rest - p[6] end
  if p.whole >= CENTURY then p.whole, p.rest = CENTURY, 0 end
  save(p, key)
end
