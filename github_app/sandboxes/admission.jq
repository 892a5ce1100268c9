# Reads the payload of the event of a job; prints what becomes of the job (admit, foreign or refuse) and a sentence.
# The rules are those of routing/policy.py and routing/route.py; what is not known for sure refuses.
($ENV.MODAL_RUNNER_RULES | fromjson) as $rules
| ($ENV.GITHUB_REPOSITORY // "") as $repository
| ($ENV.GITHUB_EVENT_NAME // "") as $event
| ($ENV.GITHUB_HEAD_REF // "") as $head
| ($ENV.GITHUB_REF // "") as $ref
# A tag may have the name of a branch. What a pull request runs is on no branch, and its code on its head.
| (if $head == "" and $ENV.GITHUB_REF_TYPE == "branch" and ($ref | startswith("refs/heads/"))
   then $ref | ltrimstr("refs/heads/") else null end) as $on
| (if $head != "" then $head else $on end) as $branch
| ($ENV.GITHUB_WORKFLOW // "") as $workflow
# OWNER/REPOSITORY/PATH@REF
| ($ENV.GITHUB_WORKFLOW_REF // "" | split("@refs/")[0] // "" | split("/")[2:] | join("/")) as $file
| def like($text; $globs): any($globs[]; . as $glob | $text | test($glob; "i"));
  def exactly($text; $globs): any($globs[]; . as $glob | $text | test($glob));
  def fits($it):
      ($it.owner == null or like($repository; [$it.owner]))
      and (($it.repositories | length) == 0 or like($repository; $it.repositories))
      and ($it.branch == null or ($branch != null and exactly($branch; [$it.branch])))
      and ($it.workflow == null or like($workflow; [$it.workflow]))
      and ($it.file == null or exactly($file; [$it.file]))
      and (($it.events | length) == 0 or any($it.events[]; . == $event));
  def of_these_branches($it):
      ((($it.only // []) | length) == 0 or ($on != null and exactly($on; $it.only)))
      and ((($it.not // []) | length) == 0 or $on == null or (exactly($on; $it.not) | not));
  def at($path): try getpath($path) catch null;
  def refuse($sentence): "refuse " + ($sentence | split("{repository}") | join($repository));
  at(["repository", "private"]) as $private
| (if $private == true or ($private != false and any($rules.private[]; . == ($repository | ascii_downcase))) then "private"
   elif $private == false then "public" else "unknown" end) as $visibility
| (if $event | startswith("pull_request") then at(["pull_request", "head", "repo", "full_name"])
   elif $event == "workflow_run" then at(["workflow_run", "head_repository", "full_name"])
   else $repository end) as $code
| (($code | type) == "string" and ($code | ascii_downcase) == ($repository | ascii_downcase)) as $own
| any($rules.named[]; . == ($repository | ascii_downcase)) as $named
| (($repository | ascii_downcase) == $rules.own) as $at_home
| ([$rules.routes[] | select(fits(.) and (if $at_home then .home else .away end))] | .[0].refuse) as $refused
| if $named | not then
      if like($repository; $rules.admitted) | not then refuse($rules.sentences.named)
      elif $visibility != "private" then refuse($rules.sentences[$visibility])
      else null end
  else null end
| if . != null then .
  elif $refused != null then refuse($refused)
  elif ($own or like($repository; $rules.forks)) | not then refuse($rules.sentences.fork)
  elif $rules.made_for == null then "admit "
  elif fits($rules.made_for) then if of_these_branches($rules.made_for) then "admit " else "no-cache " end
  elif $rules.can_withhold then "foreign "
  else refuse($rules.sentences.withhold) end
