"""What is in the bucket `anchors` of the server at URL, for the operator's access key KEY and SECRET: each object must be locked, and must stay
where it is when the operator deletes it. Prints name, mode, end of the retention and text of each as JSON."""

import json
import os

import botocore.session
from botocore.exceptions import ClientError

s3 = botocore.session.get_session().create_client(
    "s3", region_name="eu-central-1", endpoint_url=os.environ["URL"],
    aws_access_key_id=os.environ["KEY"], aws_secret_access_key=os.environ["SECRET"],
)
for version in s3.list_object_versions(Bucket="anchors").get("Versions", []):
    one = {"Bucket": "anchors", "Key": version["Key"], "VersionId": version["VersionId"]}
    head = s3.head_object(**one)
    try:
        s3.delete_object(**one, BypassGovernanceRetention=True)
    except ClientError as error:
        assert error.response["Error"]["Code"] == "AccessDenied", error
    else:
        raise SystemExit("a locked version was deleted")
    text = s3.get_object(**one)["Body"].read().decode()
    until = head["ObjectLockRetainUntilDate"].isoformat()
    print(json.dumps({"key": version["Key"], "mode": head["ObjectLockMode"], "until": until, "text": text}))
