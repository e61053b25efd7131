"""Budgets: every simulated operation, success and error."""

import datetime

import pytest


@pytest.fixture
def budgets(client):
    return client("budgets")


def budget(**more):
    return {"BudgetName": "ml", "BudgetType": "COST", "TimeUnit": "MONTHLY",
            "BudgetLimit": {"Amount": "400", "Unit": "USD"}, **more}


def at(threshold=80, kind="ACTUAL"):
    return {"NotificationType": kind, "ComparisonOperator": "GREATER_THAN", "Threshold": threshold}


def email(name="a"):
    return {"SubscriptionType": "EMAIL", "Address": f"{name}@example.com"}


SNS = {"SubscriptionType": "SNS", "Address": "arn:aws:sns:us-east-1:123456789012:costs"}


@pytest.fixture
def made(budgets, account):
    budgets.create_budget(
        AccountId=account, Budget=budget(),
        NotificationsWithSubscribers=[{"Notification": at(), "Subscribers": [email(), SNS]}],
        ResourceTags=[{"Key": "team", "Value": "ml"}],
    )
    return {"AccountId": account, "BudgetName": "ml"}


def test_budget_is_read_back(budgets, made, account, refused):
    read = budgets.describe_budget(**made)["Budget"]
    assert read["BudgetLimit"] == {"Amount": "400.0", "Unit": "USD"}
    assert read["TimePeriod"]["Start"].day == 1
    assert read["TimePeriod"]["End"].astimezone(datetime.timezone.utc).date() == datetime.date(2087, 6, 15)
    assert read["CostTypes"]["IncludeTax"] and not read["CostTypes"]["UseBlended"]
    assert read["CalculatedSpend"]["ActualSpend"] == {"Amount": "0.0", "Unit": "USD"}
    assert [b["BudgetName"] for b in budgets.describe_budgets(AccountId=account)["Budgets"]] == ["ml"]
    assert budgets.describe_budget_actions_for_budget(**made)["Actions"] == []
    with refused("NotFoundException"):
        budgets.describe_budget(AccountId=account, BudgetName="none")
    with refused("AccessDeniedException"):
        budgets.describe_budget(AccountId="999988887777", BudgetName="ml")
    with refused("AccessDeniedException"):
        budgets.describe_budgets(AccountId="999988887777")


def test_create_refuses(budgets, made, account, refused):
    with refused("DuplicateRecordException"):
        budgets.create_budget(AccountId=account, Budget=budget())
    for bad in [
        budget(BudgetName="a:b"), {k: v for k, v in budget(BudgetName="x").items() if k != "BudgetLimit"},
        budget(BudgetName="x", FilterExpression={"Dimensions": {"Key": "REGION", "Values": ["x"]}}),
        budget(BudgetName="x", Metrics=["UnblendedCost"], CostTypes={"IncludeTax": False}),
        budget(BudgetName="x", TimePeriod={"Start": 1800000000, "End": 1700000000}),
    ]:
        with refused("InvalidParameterException"):
            budgets.create_budget(AccountId=account, Budget=bad)
    twice = [{"Notification": at(), "Subscribers": [email()]}] * 2
    with refused("DuplicateRecordException"):
        budgets.create_budget(AccountId=account, Budget=budget(BudgetName="x"), NotificationsWithSubscribers=twice)
    two = [{"Notification": at(), "Subscribers": [SNS, {**SNS, "Address": SNS["Address"] + "2"}]}]
    with refused("CreationLimitExceededException"):
        budgets.create_budget(AccountId=account, Budget=budget(BudgetName="x"), NotificationsWithSubscribers=two)
    with refused("InvalidParameterException"):
        budgets.create_budget(AccountId=account, Budget=budget(BudgetName="x"),
                              ResourceTags=[{"Key": "aws:x", "Value": ""}])


def test_filters_show_when_asked_for(budgets, account):
    filtered = {"And": [{"Dimensions": {"Key": "SERVICE", "Values": ["Amazon SageMaker"]}},
                        {"Not": {"Dimensions": {"Key": "RECORD_TYPE", "Values": ["Credit"]}}}]}
    budgets.create_budget(AccountId=account, Budget=budget(Metrics=["AmortizedCost"], FilterExpression=filtered))
    read = budgets.describe_budget(AccountId=account, BudgetName="ml")["Budget"]
    assert read["Metrics"] == ["AmortizedCost"] and "FilterExpression" not in read and "CostTypes" not in read
    shown = budgets.describe_budgets(AccountId=account, ShowFilterExpression=True)["Budgets"][0]
    assert shown["FilterExpression"] == filtered


def test_update_replaces_the_whole(budgets, made, account, refused):
    new = budget(BudgetLimit={"Amount": "12.5", "Unit": "USD"}, TimeUnit="QUARTERLY", Metrics=["BlendedCost"])
    start = budgets.describe_budget(**made)["Budget"]["TimePeriod"]["Start"]
    budgets.update_budget(AccountId=account, NewBudget=new)
    read = budgets.describe_budget(**made)["Budget"]
    assert read["BudgetLimit"]["Amount"] == "12.5" and read["TimeUnit"] == "QUARTERLY" and "CostTypes" not in read
    assert read["TimePeriod"]["Start"] == start
    assert len(budgets.describe_notifications_for_budget(**made)["Notifications"]) == 1
    with refused("NotFoundException"):
        budgets.update_budget(AccountId=account, NewBudget=budget(BudgetName="none"))
    with refused("InvalidParameterException"):
        budgets.update_budget(AccountId=account, NewBudget=budget(BudgetType="USAGE"))


def test_a_budget_ends(budgets, made, account, server, later, refused):
    now = budgets.describe_budget(**made)["Budget"]["LastUpdatedTime"]
    end = now + datetime.timedelta(days=1)
    budgets.update_budget(AccountId=account, NewBudget=budget(TimePeriod={"Start": now, "End": end}))
    later(86400 + 10)
    with refused("NotFoundException"):
        budgets.describe_budget(**made)


def test_delete(budgets, made, refused):
    budgets.delete_budget(**made)
    for call in (budgets.delete_budget, budgets.describe_notifications_for_budget,
                 budgets.describe_budget_actions_for_budget):
        with refused("NotFoundException"):
            call(**made)


def test_notifications(budgets, made, account, refused):
    listed = lambda: budgets.describe_notifications_for_budget(**made)["Notifications"]
    assert listed() == [{**at(), "Threshold": 80.0, "ThresholdType": "PERCENTAGE", "NotificationState": "OK"}]
    budgets.create_notification(**made, Notification=at(100, "FORECASTED"), Subscribers=[email()])
    with refused("DuplicateRecordException"):
        budgets.create_notification(**made, Notification=at(), Subscribers=[email()])
    budgets.update_notification(**made, OldNotification=at(), NewNotification=at(90))
    assert sorted(n["Threshold"] for n in listed()) == [90.0, 100.0]
    with refused("DuplicateRecordException"):
        budgets.update_notification(**made, OldNotification=at(90), NewNotification=at(100, "FORECASTED"))
    for call in (
        lambda: budgets.update_notification(**made, OldNotification=at(), NewNotification=at(70)),
        lambda: budgets.delete_notification(**made, Notification=at()),
    ):
        with refused("NotFoundException"):
            call()
    budgets.delete_notification(**made, Notification=at(90))
    found = budgets.describe_budget_notifications_for_account(AccountId=account)["BudgetNotificationsForAccount"]
    assert [(b["BudgetName"], len(b["Notifications"])) for b in found] == [("ml", 1)]
    with refused("AccessDeniedException"):
        budgets.describe_budget_notifications_for_account(AccountId="999988887777")
    for i in range(9):
        budgets.create_notification(**made, Notification=at(i + 1), Subscribers=[email()])
    with refused("CreationLimitExceededException"):
        budgets.create_notification(**made, Notification=at(50), Subscribers=[email()])


def test_subscribers(budgets, made, refused):
    where = {**made, "Notification": at()}
    listed = lambda: budgets.describe_subscribers_for_notification(**where)["Subscribers"]
    assert listed() == [email(), SNS]
    budgets.create_subscriber(**where, Subscriber=email("b"))
    with refused("DuplicateRecordException"):
        budgets.create_subscriber(**where, Subscriber=email("b"))
    with refused("CreationLimitExceededException"):
        budgets.create_subscriber(**where, Subscriber={**SNS, "Address": SNS["Address"] + "2"})
    with refused("InvalidParameterException"):
        budgets.create_subscriber(**where, Subscriber={"SubscriptionType": "EMAIL", "Address": "nobody"})
    budgets.update_subscriber(**where, OldSubscriber=email("b"), NewSubscriber=email("c"))
    for call in (
        lambda: budgets.update_subscriber(**where, OldSubscriber=email("b"), NewSubscriber=email("d")),
        lambda: budgets.delete_subscriber(**where, Subscriber=email("b")),
        lambda: budgets.describe_subscribers_for_notification(**made, Notification=at(1)),
        lambda: budgets.create_subscriber(**made, Notification=at(1), Subscriber=email("b")),
    ):
        with refused("NotFoundException"):
            call()
    for one in (email(), SNS, email("c")):
        budgets.delete_subscriber(**where, Subscriber=one)
    # Nobody left to tell: the notification goes with its last subscriber.
    assert budgets.describe_notifications_for_budget(**made)["Notifications"] == []


def test_tags(budgets, made, account, refused):
    arn = f"arn:aws:budgets::{account}:budget/ml"
    listed = lambda: budgets.list_tags_for_resource(ResourceARN=arn)["ResourceTags"]
    assert listed() == [{"Key": "team", "Value": "ml"}]
    budgets.tag_resource(ResourceARN=arn, ResourceTags=[{"Key": "a", "Value": "1"}])
    budgets.untag_resource(ResourceARN=arn, ResourceTagKeys=["team"])
    assert listed() == [{"Key": "a", "Value": "1"}]
    other = arn + "x"
    for call in (
        lambda: budgets.list_tags_for_resource(ResourceARN=other),
        lambda: budgets.tag_resource(ResourceARN=other, ResourceTags=[{"Key": "a", "Value": "1"}]),
        lambda: budgets.untag_resource(ResourceARN=other, ResourceTagKeys=["a"]),
    ):
        with refused("NotFoundException"):
            call()
    with refused("ServiceQuotaExceededException"):
        budgets.tag_resource(ResourceARN=arn, ResourceTags=[{"Key": f"k{i}", "Value": ""} for i in range(50)])


def test_lists_page(budgets, account):
    for i in range(5):
        budgets.create_budget(AccountId=account, Budget=budget(BudgetName=f"b{i}"))
    pages = list(budgets.get_paginator("describe_budgets").paginate(
        AccountId=account, PaginationConfig={"PageSize": 2}))
    assert [len(p["Budgets"]) for p in pages] == [2, 2, 1]


def test_auto_adjusting_budgets(budgets, account, refused):
    def adjusting(**data):
        return {"BudgetName": "auto", "BudgetType": "COST", "TimeUnit": "QUARTERLY", "AutoAdjustData": data}

    history = {"AutoAdjustType": "HISTORICAL", "HistoricalOptions": {"BudgetAdjustmentPeriod": 4}}
    budgets.create_budget(AccountId=account, Budget=adjusting(**history))
    read = budgets.describe_budget(AccountId=account, BudgetName="auto")["Budget"]
    assert read["BudgetLimit"] == {"Amount": "0.01", "Unit": "USD"}
    assert read["AutoAdjustData"].pop("LastAutoAdjustTime") and read["AutoAdjustData"] == history
    budgets.update_budget(AccountId=account, NewBudget=adjusting(AutoAdjustType="FORECAST"))
    read = budgets.describe_budget(AccountId=account, BudgetName="auto")["Budget"]["AutoAdjustData"]
    assert read["AutoAdjustType"] == "FORECAST" and "HistoricalOptions" not in read
    budgets.update_budget(AccountId=account, NewBudget={**budget(), "BudgetName": "auto"})
    read = budgets.describe_budget(AccountId=account, BudgetName="auto")["Budget"]
    assert "AutoAdjustData" not in read and read["BudgetLimit"]["Amount"] == "400.0"
    for bad in [{**adjusting(**history), "BudgetLimit": {"Amount": "1", "Unit": "USD"}},
                adjusting(AutoAdjustType="HISTORICAL"),
                adjusting(AutoAdjustType="HISTORICAL", HistoricalOptions={"BudgetAdjustmentPeriod": 5}),
                adjusting(**{**history, "AutoAdjustType": "FORECAST"})]:
        with refused("InvalidParameterException"):
            budgets.update_budget(AccountId=account, NewBudget=bad)
